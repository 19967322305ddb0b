"""Langfuse observations: one a line, as exported from its table or blob storage, or by its API.

Fields are those of the Observations API v2 (langfuse-python 5.0.4, camelCase) and of the blob
storage export (snake_case). Read are observations of type GENERATION whose input and output are
OpenAI chat messages, as Langfuse's OpenAI and LangChain integrations log them. Those of one
session, or of one trace where no session is named, are one dialogue or several.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tft.core.errors import InputError
from tft.traces.formats.events import Logged, objects
from tft.traces.formats.openai_chat import MESSAGES, events_of, message_read, read_tools, tool_read
from tft.traces.formats.requests import Request, dialogues
from tft.traces.formats.unread import Read, unread

NAMES = ("sessionId", "session_id", "traceId", "trace_id")
"""By what a dialogue's observations are told, if they have it."""


def pieces(record: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(dialogue, observation), for a line that holds a request to a chat model.

    Raises:
        InputError: no trace is named.
    """
    if str(record.get("type")).upper() == "GENERATION":
        name = record.get(_name(record))
        if not isinstance(name, str) or not name:
            raise InputError(f"no trace id: traceId is {name!r:.40}")
        yield name, record


def parse(name: str, records: Sequence[Mapping[str, Any]]) -> list[Logged]:
    """The dialogues of one session or trace.

    Raises:
        InputError: naming the observation, the message's index and what is wrong there.
    """
    started = sorted(records, key=lambda one: str(one.get("startTime", one.get("start_time"))))
    return dialogues(name, [_request(record) for record in started], "observations")


def _request(record: Mapping[str, Any]) -> Request:
    record = {**record, **{key: _decoded(record.get(key)) for key in ("input", "output")}}
    try:
        messages, tools = _input(record["input"])
        events = events_of([*messages, *_output(record["output"])])
        return Request(events, read_tools(tools), list(unread(record, _read)))
    except InputError as error:
        raise InputError(f"{error.message}; observation {record.get('id')!r:.60}") from error


def _name(record: Mapping[str, Any]) -> str:
    return next((key for key in NAMES if record.get(key)), NAMES[-1])


def _read(record: Mapping[str, Any]) -> Read:
    """What `_request` reads of an observation."""
    return {"type": True, _name(record): True, "input": _input_read, "output": _output_read}


def _input_read(value: Any) -> Read:
    return {"messages": MESSAGES, "tools": [tool_read]} if isinstance(value, dict) else MESSAGES


def _output_read(value: Any) -> Read:
    return message_read(_answer(value)) if isinstance(value, dict) else MESSAGES


def _input(value: Any) -> tuple[list[Mapping[str, Any]], Any]:
    """(messages, tools) of an observation's input."""
    match value:
        case {"messages": messages}:
            return objects("input", messages), value.get("tools")
        case list():
            return objects("input", value), None
        case str():
            return [{"role": "user", "content": value}], None
        case _:
            raise InputError(f"no messages: input: {value!r:.80}")


def _output(value: Any) -> list[Mapping[str, Any]]:
    match value:
        case None:  # a request that failed
            return []
        case str():
            return [{"role": "assistant", "content": value}]
        case dict():
            return [_answer(value)]
        case _:
            return objects("output", value)


def _answer(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"role": "assistant", **{k: v for k, v in value.items() if v is not None}}


def _decoded(value: Any) -> Any:
    """Exports write JSON values as strings."""
    if isinstance(value, str) and value[:1] in ("[", "{", '"'):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value
