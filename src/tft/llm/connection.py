"""From params to a `Chat`: cache first, then each model's back end, all in one ledger."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from tft.core.config import cache_folder
from tft.core.errors import InputError
from tft.llm import vllm_batch
from tft.llm.cache import Cache, cache_key
from tft.llm.chat import OVER_BUDGET, Outcome, Refusal, Reply, Request, Settle
from tft.llm.config import LlmConfig
from tft.llm.ledger import Ledger

# After this many refusals of a model without a single answer, the setup is wrong, not the requests.
HOPELESS = 20


def connect(llm: LlmConfig, folder: Path | None = None) -> "Connection":
    """A `Chat` with the models of params.yaml; answers are kept in `folder`, or TFT_CACHE/llm.

    A stage uses one connection for all its roles, so that the budget bounds their total cost.
    """
    return Connection(llm, folder or cache_folder("llm"))


class Connection:
    """A `Chat`, with the ledger of its requests and one budget."""

    def __init__(self, llm: LlmConfig, folder: Path) -> None:
        """Open, send, and load nothing before the first request needs it."""
        self._llm = llm
        self._folder = folder
        self._ledger = Ledger(llm)

    @cached_property
    def _cache(self) -> Cache:
        return Cache(self._folder)

    def __call__(self, requests: Sequence[Request], stage: str) -> list[Outcome]:
        """Outcomes in the order of the requests; each is on disk before it is counted.

        Raises:
            InputError: a problem that concerns all requests: the cache cannot be used, the model is
                unknown, the key is missing or wrong, the endpoint is unreachable, or the budget is
                exhausted. Answers received so far are kept.
        """
        keys = [self._key(request) for request in requests]
        distinct = dict(zip(keys, requests, strict=True))
        outcomes: dict[str, Outcome] = dict(self._cache.read(distinct))
        for key, outcome in outcomes.items():
            self._ledger.record(stage, distinct[key].model, key, outcome, bought=False)
        missing = {key: request for key, request in distinct.items() if key not in outcomes}
        answered = {distinct[key].model for key in outcomes}
        refused: dict[str, list[Refusal]] = defaultdict(list)
        with tqdm(total=len(distinct), initial=len(outcomes), desc=stage) as progress:

            def settle(key: str, outcome: Outcome) -> None:
                model = distinct[key].model
                if isinstance(outcome, Reply):
                    self._cache.write(key, outcome)
                    answered.add(model)
                self._ledger.record(stage, model, key, outcome, bought=True)
                if isinstance(outcome, Refusal):
                    if outcome.reason == OVER_BUDGET:
                        return  # paid for and counted, but still without an answer
                    refused[model].append(outcome)
                outcomes[key] = outcome
                progress.update()
                if model not in answered and len(refused[model]) >= HOPELESS:
                    raise InputError(_hopeless(model, refused[model]))

            self._ask(missing, settle)
        if left := len(distinct) - len(outcomes):
            raise InputError(
                f"params.yaml: llm.budget: {self._ledger.spent:.4f} of {self._llm.budget} is "
                f"spent, and the next request of {stage} could exceed it; {left} of "
                f"{len(distinct)} are left. Raise llm.budget and run again, which resumes here"
            )
        click.echo(
            f"{stage}: {len(distinct)} requests, {len(distinct) - len(missing)} from the cache, "
            f"{sum(map(len, refused.values()))} refused; cost {self._ledger.spent:.4f}, "
            f"{self._ledger.paid:.4f} of it now"
        )
        return [outcomes[key] for key in keys]

    def model_of(self, name: str) -> str:
        """The endpoint's name for the model `name` of `llm.models` in params.yaml."""
        return self._llm.models[name].model

    def metrics(self) -> dict[str, Any]:
        """The ledger so far, which is the same when all requests are repeated."""
        return self._ledger.metrics()

    def usage(self) -> dict[str, Any]:
        """The ledger under the key `llm`, for a stage's summary; empty without requests."""
        return {"llm": metrics} if (metrics := self.metrics()) else {}

    def _key(self, request: Request) -> str:
        if request.model not in self._llm.models:
            raise InputError(
                f"params.yaml: llm.models has no {request.model!r}; it has: "
                f"{', '.join(self._llm.models) or 'none'}"
            )
        return cache_key(request, self._llm.models[request.model])

    def _ask(self, missing: Mapping[str, Request], settle: Settle) -> None:
        by_model: dict[str, dict[str, Request]] = {}
        for key, request in missing.items():
            by_model.setdefault(request.model, {})[key] = request
        local = [name for name in by_model if self._llm.models[name].backend == "vllm"]
        remote = {name: by_model[name] for name in by_model if name not in local}
        if remote:
            from tft.llm.openai_api import ask_openai  # noqa: PLC0415 (slow to import)

            ask_openai(remote, self._llm, self._ledger, settle)
        for name in local:
            model = self._llm.models[name]
            engine = vllm_batch.engine_of(model)
            vllm_batch.ask_vllm(by_model[name], engine, model, self._llm.attempts, settle)


def _hopeless(model: str, refusals: Sequence[Refusal]) -> str:
    reasons = Counter(refusal.reason for refusal in refusals)
    return (
        f"params.yaml: llm.models.{model}: {len(refusals)} requests refused and none answered: "
        f"{dict(reasons)}; the last one: {refusals[-1].detail!r}. Fix the model's settings"
    )
