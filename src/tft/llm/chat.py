"""What is asked of a language model and what comes back; the one type every role asks through."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from tft.core.conversation import canonical_json


@dataclass(frozen=True)
class Request:
    """Messages for a model; equal requests are one request, so ask for samples by `seed`.

    `model` is a name in params.llm.models, a message `{"role": ..., "content": ...}`. `schema` is
    the JSON Schema of the answer (null: free text); models write an object's properties in the
    schema's order. `max_tokens` bounds the answer, a reasoning model's thoughts included.
    """

    model: str
    messages: tuple[dict[str, str], ...]
    schema: dict[str, Any] | None = None
    temperature: float = 0.0
    max_tokens: int = 1024
    seed: int | None = None

    def seed_of(self, attempt: int) -> int | None:
        """The seed of the nth attempt: another one each time, and far from other samples' seeds."""
        return None if self.seed is None else self.seed + (attempt << 20)


@dataclass(frozen=True)
class Reply:
    """An answer that fits its schema, and the tokens it took, rejected attempts included."""

    content: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Refusal:
    """Why one request has no answer: a reason to count by, details to read, tokens paid for."""

    reason: str
    detail: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0


OVER_BUDGET = "over budget"  # the one reason that no caller sees: the whole call stops

Outcome = Reply | Refusal
Chat = Callable[[Sequence[Request], str], list[Reply | Refusal]]
"""(requests, the stage's name for ledger and progress bar) -> outcomes, in the same order."""

Settle = Callable[[str, Outcome], None]
"""What back ends call, with a request's key, as soon as its outcome is known."""


def flaw(content: str | None, schema: dict[str, Any] | None, *, cut_off: bool) -> str | None:
    """What is wrong with an answer, as a reason to count by; None: nothing."""
    if cut_off:
        return "cut off at max_tokens"
    if not content or not content.strip():
        return "no content"
    try:
        # canonical_json: NaN and lone surrogates would break whoever stores the answer.
        canonical_json(content)
        if schema is None:
            return None
        value = json.loads(content)
        canonical_json(value)
    except (ValueError, RecursionError):
        return "not JSON"
    validator = validator_for(schema, default=Draft202012Validator)(schema)
    return None if validator.is_valid(value) else "against its schema"
