"""Langfuse observations: one a line, as exported from its table or blob storage, or by its API.

Fields are those of the Observations API v2 (langfuse-python 5.0.4, camelCase) and of the blob
storage export (snake_case). Read are observations of type GENERATION whose input and output are
OpenAI chat messages, as Langfuse's OpenAI and LangChain integrations log them. Those of one
session, or of one trace where no session is named, are one dialogue or several.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from tft.core.errors import InputError
from tft.traces.formats.events import Logged
from tft.traces.formats.model import LogModel, Record
from tft.traces.formats.openai_chat import Message, Tools, declared, events_of
from tft.traces.formats.requests import Request, dialogues

NAMES = ("sessionId", "session_id", "traceId", "trace_id")
"""By what a dialogue's observations are told, if they have it."""


def _decoded(value: Any) -> Any:
    """Exports write JSON values as strings."""
    if isinstance(value, str) and value[:1] in ("[", "{", '"'):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _asked(value: Any) -> Any:
    match value := _decoded(value):
        case {"messages": _} | list():
            return value
        case str():
            return [{"role": "user", "content": value}]
        case _:
            raise InputError(f"no messages: {value!r:.80}")


def _answered(value: Any) -> Any:
    match value := _decoded(value):
        case str():
            return [{"role": "assistant", "content": value}]
        case dict():
            return {"role": "assistant"} | {k: v for k, v in value.items() if v is not None}
        case _:
            return value


class Prompt(LogModel):
    """{"messages": [...], "tools": [...]}, as the OpenAI integration logs an input."""

    messages: list[Message]
    tools: Tools = None


class Observation(LogModel):
    """{"type": "GENERATION", "input": [...], "output": {"role": "assistant", ...}}."""

    type: Any
    input: Annotated[Prompt | list[Message], BeforeValidator(_asked)] = Field(
        None, validate_default=True
    )
    output: Annotated[Message | list[Message] | None, BeforeValidator(_answered)] = None


def pieces(record: Record) -> Iterator[tuple[str, Record]]:
    """(dialogue, observation), for a line that holds a request to a chat model.

    Raises:
        InputError: no trace is named.
    """
    if str(record.get("type")).upper() == "GENERATION":
        name = record.get(_name(record))
        if not isinstance(name, str) or not name:
            raise InputError(f"no trace id: traceId is {name!r:.40}")
        yield name, record


def parse(name: str, records: Sequence[Record]) -> list[Logged]:
    """The dialogues of one session or trace.

    Raises:
        InputError: naming the observation, the message's index and what is wrong there.
    """
    started = sorted(records, key=lambda one: str(one.get("startTime", one.get("start_time"))))
    return dialogues(name, [_request(record) for record in started], "observations")


def _name(record: Record) -> str:
    return next((key for key in NAMES if record.get(key)), NAMES[-1])


def _request(record: Record) -> Request:
    try:
        one = Observation.read(record)
        asked = one.input.messages if isinstance(one.input, Prompt) else one.input
        tools = one.input.tools if isinstance(one.input, Prompt) else None
        answers = one.output if isinstance(one.output, list) else [one.output]
        events = events_of([*asked, *(answer for answer in answers if answer)])
    except InputError as error:
        raise InputError(f"{error.message}; observation {record.get('id')!r:.60}") from error
    more = [(path, value) for path, value in one.left_out() if path != _name(record)]
    return Request(events, declared(tools), more)
