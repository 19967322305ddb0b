"""Requests to a language model and their outcomes, and the one type through which roles ask."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from tft.core.conversation import canonical_json


@dataclass(frozen=True)
class Request:
    """A request to a model. Equal requests are sent once, so several samples need several seeds.

    `model` is a name in `llm.models` of params.yaml, and a message is `{"role": ..., "content":
    ...}`. `schema` is the JSON Schema of the answer, or None for free text; models write an
    object's properties in the order of the schema. `max_tokens` bounds the answer, including a
    reasoning model's thoughts.
    """

    model: str
    messages: tuple[dict[str, str], ...]
    schema: dict[str, Any] | None = None
    temperature: float = 0.0
    max_tokens: int = 1024
    seed: int | None = None

    def seed_of(self, attempt: int) -> int | None:
        """The seed of the nth attempt, far from the seeds of other attempts and other samples."""
        return None if self.seed is None else self.seed + (attempt << 20)


@dataclass(frozen=True)
class Reply:
    """An answer that fits its schema, and the tokens it took, including rejected attempts."""

    content: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Refusal:
    """Why a request has no answer: a reason to count, details to read, and the tokens paid for."""

    reason: str
    detail: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0


OVER_BUDGET = "over budget"  # the one reason that callers never see, because the whole call stops

Outcome = Reply | Refusal
Chat = Callable[[Sequence[Request], str], list[Reply | Refusal]]
"""(requests, name of the stage in ledger and progress bar) -> outcomes, in the same order."""

Settle = Callable[[str, Outcome], None]
"""Back ends call this with a request's key as soon as its outcome is known."""


def flaw(content: str | None, schema: dict[str, Any] | None, *, cut_off: bool) -> str | None:
    """What is wrong with an answer, as a reason to count, or None if it fits its schema."""
    if cut_off:
        return "cut off at max_tokens"
    if not content or not content.strip():
        return "no content"
    try:
        # canonical_json rejects NaN and lone surrogates, which tables cannot store.
        canonical_json(content)
        if schema is None:
            return None
        value = json.loads(content)
        canonical_json(value)
    except (ValueError, RecursionError):
        return "not JSON"
    validator = validator_for(schema, default=Draft202012Validator)(schema)
    return None if validator.is_valid(value) else "against its schema"
