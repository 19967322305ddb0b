"""How a format is declared: by pydantic models of what its reader reads of a log.

What else a log holds stays in `model_extra`. It is kept beside the conversation and counted by its
path, so that no key is lost because nobody thought of it.
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
"""Ids and the like, which some log as numbers."""
Filled = Annotated[T | None, BeforeValidator(lambda value: value or None)]
"""None where the log has something empty, of whatever type."""


class LogModel(BaseModel):
    """An object of a log, of which the fields are read."""

    model_config = ConfigDict(extra="allow")

    @classmethod
    def read(cls, log: Any) -> Self:
        """The object, checked.

        Raises:
            InputError: it is not of this form, in one line: "kind: where and what".
        """
        try:
            return cls.model_validate(log)
        except ValidationError as error:
            raise InputError(_refusal(error.errors(include_url=False), log)) from error

    def left_out(self) -> Iterator[tuple[str, Any]]:
        """(path, value) of what is not read, such as `messages[3].name`; empty says nothing."""
        return _left_out(self, "")


class LeftOut(RootModel[Any]):
    """A value that is left out although the list that holds it is read."""


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
    """The path without the places in lists, by which reports count: `messages[].name`."""
    return re.sub(r"\[\d+\]", "[]", path)


KINDS = {
    "json_invalid": "not JSON", "json_type": "not JSON",
    "string_unicode": "not representable as JSON",
    "role": "unknown role",
    "type": "not text", "content": "not text", "text": "not text", "system": "not text",
    "tool_calls": "no tool call", "tool_use": "no tool call", "tool_call": "no tool call",
    "answer": "no tool call",
}  # fmt: skip
"""Of refusals, by which reports count them: by pydantic's error, or the innermost key or model."""


def _refusal(errors: list[ErrorDetails], log: Any) -> str:
    # In the first message with errors: a value has the form in which its error is deepest.
    first = errors[0]["loc"]
    item = next((at for at, step in enumerate(first) if isinstance(step, int)), 0) + 1
    error = max(
        (one for one in errors if one["loc"][:item] == first[:item]),
        key=lambda one: len(one["loc"]),
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
            kind, what = inner.message.split(": ", maxsplit=1)
            return f"{kind}: {where}: {what}"
        case {"error": reason}:
            return f"{kind}: {where} ({reason})"
        case {"expected_tags": known} | {"expected": known}:
            where = where.partition(": ")[0].removesuffix(f".{path[-1]}")
            what = " holds a part of type" if path[-1] == "type" else ":"
            return f"{kind}: {where}{what} {value!r:.40}; known are {known}"
    of = "" if value is error["input"] else f" in {error['input']!r:.120}"
    return f"{kind}: {where}: {value!r:.80}{of}"


def _place(loc: tuple[int | str, ...], log: Any) -> list[int | str]:
    """Where in a log an error is: pydantic's place without the names of models in it."""
    path = []
    for step in loc:
        if isinstance(log, str) and log.lstrip()[:1] in ("{", "["):
            log = json.loads(log)
        try:
            log = log[step]
        except (LookupError, TypeError):  # a name of a model
            continue
        path.append(step)
    return path
