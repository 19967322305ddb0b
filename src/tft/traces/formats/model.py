"""How formats are declared: by pydantic models of those parts of a log that are read.

Everything else in a log stays in `model_extra`. It is kept beside the conversation and counted by
its path, so that unexpected keys are not lost.
"""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, RootModel, ValidationError
from pydantic_core import ErrorDetails

from tft.core.errors import InputError

T = TypeVar("T")
Record = Mapping[str, Any]

AnyText = Annotated[str, BeforeValidator(str)]
"""A text such as an id, which some logs give as a number."""
Filled = Annotated[T | None, BeforeValidator(lambda value: value or None)]
"""None if the log has an empty value of any type."""


class LogModel(BaseModel):
    """An object in a log, of which the declared fields are read."""

    model_config = ConfigDict(extra="allow")

    @classmethod
    def read(cls, log: Any) -> Self:
        """Validate an object.

        Raises:
            InputError: the object has another form; one line, "kind: where and what".
        """
        try:
            return cls.model_validate(log)
        except ValidationError as error:
            raise InputError(_refusal(error.errors(include_url=False), log)) from error

    def left_out(self) -> Iterator[tuple[str, Any]]:
        """Yield (path, value) of what is not read, such as `messages[3].name`, if not empty."""
        return _left_out(self, "")


class LeftOut(RootModel[Any]):
    """A value that is not read although the list that contains it is."""


def _left_out(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    match value:
        case LogModel():
            for name, field in vars(value).items():
                if isinstance(field, LogModel | list):
                    key = type(value).model_fields[name].alias or name
                    yield from _left_out(field, _joined(path, key))
            for key, extra in (value.model_extra or {}).items():
                yield from _left_out(LeftOut(extra), _joined(path, key))
        case list():
            for at, item in enumerate(value):
                yield from _left_out(item, _joined(path, at))
        case LeftOut() if value.root not in (None, [], {}):
            yield path, value.root


def _joined(path: str, step: int | str) -> str:
    if isinstance(step, str) and re.fullmatch(r"[\w-]+", step):
        return f"{path}.{step}".removeprefix(".")
    return f"{path}[{step!r}]"


def anywhere(path: str) -> str:
    """The path without indices, by which reports count: `messages[].name`."""
    return re.sub(r"\[\d+\]", "[]", path)


KINDS = {
    "json_invalid": "not JSON", "json_type": "not JSON",
    "string_unicode": "not representable as JSON",
    "role": "unknown role",
    "type": "not text", "content": "not text", "text": "not text", "system": "not text",
    "tool_calls": "no tool call", "tool_use": "no tool call", "tool_call": "no tool call",
    "answer": "no tool call",
}  # fmt: skip
"""Kinds of refusals in reports, by pydantic's error type or by the innermost key or model."""


def _refusal(errors: list[ErrorDetails], log: Any) -> str:
    # Of the errors in the first bad message, the deepest is about the form that was meant.
    first = errors[0]["loc"]
    item = next((at for at, step in enumerate(first) if isinstance(step, int)), 0) + 1
    error = max(
        (candidate for candidate in errors if candidate["loc"][:item] == first[:item]),
        key=lambda candidate: len(candidate["loc"]),
    )
    loc, context, value = error["loc"], error.get("ctx", {}), error["input"]
    path = _place(loc, log)
    if error["type"] == "missing":
        path, value = [*path, loc[-1]], None
    elif key := context.get("discriminator", "").strip("'"):
        path, loc, value = [*path, key], (*loc, key), value.get(key)
    kinds = (KINDS[step] for step in (error["type"], *reversed(loc)) if step in KINDS)
    kind = next(kinds, "no list of objects")
    where = re.sub(r"^messages\[(\d+)\]\.", r"message \1: ", functools.reduce(_joined, path, ""))
    match context:
        case {"error": InputError() as inner}:
            kind, details = inner.message.split(": ", maxsplit=1)
            return f"{kind}: {where}: {details}"
        case {"error": reason}:
            return f"{kind}: {where} ({reason})"
        case {"expected_tags": known} | {"expected": known}:
            where = where.partition(": ")[0].removesuffix(f".{path[-1]}")
            details = " holds a part of type" if path[-1] == "type" else ":"
            return f"{kind}: {where}{details} {value!r:.40}; known are {known}"
    of = "" if value is error["input"] else f" in {error['input']!r:.120}"
    return f"{kind}: {where}: {value!r:.80}{of}"


def _place(loc: tuple[int | str, ...], log: Any) -> list[int | str]:
    """The place of an error in a log: pydantic's location without the names of models."""
    path = []
    for step in loc:
        if isinstance(log, str) and log.lstrip()[:1] in ("{", "["):
            log = json.loads(log)
        try:
            log = log[step]
        except (LookupError, TypeError):  # the name of a model
            continue
        path.append(step)
    return path
