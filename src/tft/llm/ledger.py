"""What answers cost: by stage and model for the metrics, and against a budget before each one."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from tft.llm.chat import Outcome, Refusal, Request
from tft.llm.config import LlmConfig


@dataclass
class _Row:
    keys: set[str] = field(default_factory=set)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    refusals: Counter[str] = field(default_factory=Counter)


def prompt_bound(request: Request) -> int:
    """More tokens than a prompt can have: each token of a byte-level tokenizer takes a byte."""
    text = json.dumps([request.messages, request.schema], ensure_ascii=False)
    return len(text.encode()) + 16 * len(request.messages) + 64  # the template's markers


class Ledger:
    """Counts each answer of a stage once, at what it took when it was bought.

    So the metrics of a finished run repeated are the same. What this run paid is told apart, on the
    terminal only. What a provider charges for answers lost on the way (time-outs, cut connections)
    nobody is told, so it is in neither.
    """

    def __init__(self, llm: LlmConfig) -> None:
        """An empty ledger at the prices of params.yaml."""
        self._llm = llm
        self._rows: dict[tuple[str, str], _Row] = defaultdict(_Row)
        self._held: dict[str, float] = {}
        self.paid = 0.0

    def cost(self, model: str, prompt_tokens: int, completion_tokens: int) -> float | None:
        """What tokens cost at a model's price; None: no price is known."""
        price = self._llm.models[model].price
        if price is None:
            return None
        return (prompt_tokens * price.input + completion_tokens * price.output) / 1e6

    @property
    def spent(self) -> float:
        """What all answers so far cost, those from the cache included."""
        costs = (
            self.cost(model, row.prompt_tokens, row.completion_tokens)
            for (_, model), row in self._rows.items()
        )
        return sum(cost or 0.0 for cost in costs)

    def hold(
        self, key: str, request: Request, prompt_tokens: int = 0, completion_tokens: int = 0
    ) -> bool:
        """Set aside what a request can have cost after its next attempt, tokens so far given.

        False: together with what is in flight, that could exceed the budget.
        """
        most = self.cost(
            request.model,
            prompt_tokens + prompt_bound(request),
            completion_tokens + request.max_tokens,
        )
        if self._llm.budget is None or most is None:
            return True
        others = sum(cost for other, cost in self._held.items() if other != key)
        if self.spent + others + most > self._llm.budget:
            return False
        self._held[key] = most
        return True

    def record(self, stage: str, model: str, key: str, outcome: Outcome, *, bought: bool) -> None:
        """Count an outcome; from the cache (not `bought`) once only."""
        row = self._rows[stage, model]
        if key in row.keys and not bought:
            return
        row.keys.add(key)
        row.prompt_tokens += outcome.prompt_tokens
        row.completion_tokens += outcome.completion_tokens
        if isinstance(outcome, Refusal):
            row.refusals[outcome.reason] += 1
        if bought:
            self._held.pop(key, None)
            self.paid += self.cost(model, outcome.prompt_tokens, outcome.completion_tokens) or 0.0

    def metrics(self) -> dict[str, Any]:
        """By stage and model: requests, tokens, cost (null without a price), refusals by reason."""
        result: dict[str, Any] = {}
        for (stage, model), row in sorted(self._rows.items()):
            cost = self.cost(model, row.prompt_tokens, row.completion_tokens)
            result.setdefault(stage, {})[model] = {
                "requests": len(row.keys),
                "prompt_tokens": row.prompt_tokens,
                "completion_tokens": row.completion_tokens,
                "cost": None if cost is None else round(cost, 6),
                "refusals": dict(sorted(row.refusals.items())),
            }
        return result
