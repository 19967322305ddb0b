"""Langfuse observations: one per line, as exported from its table, its blob storage, or its API.

Fields are those of the Observations API v2 (langfuse-python 5.0.4, camelCase) and of the blob
storage export (snake_case). Observations of type GENERATION are read if their input and output are
OpenAI chat messages, as Langfuse's OpenAI and LangChain integrations log them. The observations of
one session, or of one trace if no session is given, are one or several dialogues.
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
"""The keys by which observations are grouped into dialogues; the first one present is used."""


def _decoded(value: Any) -> Any:
    """The JSON value of a string, because exports write JSON values as strings."""
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
    """Yield (dialogue, observation) for a line that contains a request to a chat model.

    Raises:
        InputError: the line has no trace id.
    """
    if str(record.get("type")).upper() == "GENERATION":
        name = record.get(_name(record))
        if not isinstance(name, str) or not name:
            raise InputError(f"no trace id: traceId is {name!r:.40}")
        yield name, record


def parse(name: str, records: Sequence[Record]) -> list[Logged]:
    """Parse the dialogues of one session or trace.

    Raises:
        InputError: a message is malformed; names the observation, the index of the message, and
            what is wrong.
    """
    started = sorted(
        records, key=lambda record: str(record.get("startTime", record.get("start_time")))
    )
    return dialogues(name, [_request(record) for record in started], "observations")


def _name(record: Record) -> str:
    return next((key for key in NAMES if record.get(key)), NAMES[-1])


def _request(record: Record) -> Request:
    try:
        observation = Observation.read(record)
        messages = (
            observation.input.messages
            if isinstance(observation.input, Prompt)
            else observation.input
        )
        tools = observation.input.tools if isinstance(observation.input, Prompt) else None
        answers = (
            observation.output if isinstance(observation.output, list) else [observation.output]
        )
        events = events_of([*messages, *(answer for answer in answers if answer)])
    except InputError as error:
        raise InputError(f"{error.message}; observation {record.get('id')!r:.60}") from error
    more = [(path, value) for path, value in observation.left_out() if path != _name(record)]
    return Request(events, declared(tools), more)
