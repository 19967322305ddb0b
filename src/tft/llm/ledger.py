"""What answers cost, by stage and model, and whether the next request fits into the budget."""

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
    """An upper bound on a prompt's tokens: each token of a byte-level tokenizer takes a byte."""
    text = json.dumps([request.messages, request.schema], ensure_ascii=False)
    return len(text.encode()) + 16 * len(request.messages) + 64  # the template's markers


class Ledger:
    """Counts each answer of a stage once, with the tokens that it took when it was bought.

    The metrics of a finished run are therefore the same when it is repeated. What the current run
    paid is printed on the terminal only. What a provider charges for answers lost on the way
    (time-outs, broken connections) is unknown and in neither.
    """

    def __init__(self, llm: LlmConfig) -> None:
        """Start an empty ledger with the prices of params.yaml."""
        self._llm = llm
        self._rows: dict[tuple[str, str], _Row] = defaultdict(_Row)
        self._held: dict[str, float] = {}
        self.paid = 0.0

    def cost(self, model: str, prompt_tokens: int, completion_tokens: int) -> float | None:
        """The cost of tokens at a model's price, or None if the price is unknown."""
        price = self._llm.models[model].price
        if price is None:
            return None
        return (prompt_tokens * price.input + completion_tokens * price.output) / 1e6

    @property
    def spent(self) -> float:
        """The cost of all answers so far, including those from the cache."""
        costs = (
            self.cost(model, row.prompt_tokens, row.completion_tokens)
            for (_, model), row in self._rows.items()
        )
        return sum(cost or 0.0 for cost in costs)

    def hold(
        self, key: str, request: Request, prompt_tokens: int = 0, completion_tokens: int = 0
    ) -> bool:
        """Reserve the most that a request can cost after its next attempt.

        `prompt_tokens` and `completion_tokens` are what its earlier attempts took. Returns False if
        the request, together with those in flight, could exceed the budget.
        """
        bound = self.cost(
            request.model,
            prompt_tokens + prompt_bound(request),
            completion_tokens + request.max_tokens,
        )
        if self._llm.budget is None or bound is None:
            return True
        held_by_others = sum(cost for other_key, cost in self._held.items() if other_key != key)
        if self.spent + held_by_others + bound > self._llm.budget:
            return False
        self._held[key] = bound
        return True

    def record(self, stage: str, model: str, key: str, outcome: Outcome, *, bought: bool) -> None:
        """Count an outcome; one from the cache (not `bought`) is counted only once."""
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
        """Requests, tokens, cost (None without a price), and refusals by reason, per model."""
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
