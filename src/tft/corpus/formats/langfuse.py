"""Langfuse observations: one a line, as exported from its table or blob storage, or by its API.

Fields are those of the Observations API v2 (langfuse-python 5.0.4, camelCase) and of the blob
storage export (snake_case). Read are observations of type GENERATION whose input and output are
OpenAI chat messages, as Langfuse's OpenAI and LangChain integrations log them. Those of one
session, or of one trace where no session is named, are one dialogue or several.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tft.corpus.formats.events import Logged, objects, whole_dialogues
from tft.corpus.formats.openai_chat import READ, events_of, extras_of, read_tools
from tft.errors import InputError


def pieces(record: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(dialogue, observation), for a line that holds a request to a chat model.

    Raises:
        InputError: no trace is named.
    """
    if str(record.get("type")).upper() == "GENERATION":
        name = _get(record, "sessionId") or _get(record, "traceId")
        if not isinstance(name, str) or not name:
            raise InputError(f"no trace id: traceId is {name!r:.40}")
        yield name, record


def parse(name: str, records: Sequence[Mapping[str, Any]]) -> list[Logged]:
    """The dialogues of one session or trace.

    Raises:
        InputError: naming the observation, the message's index and what is wrong there.
    """
    records = sorted(records, key=lambda record: str(_get(record, "startTime")))
    requests, tools = [], []
    for record in records:
        try:
            asked, offered = _input(record.get("input"))
            messages = [*asked, *_output(record.get("output"))]
            tools.append((messages, offered))
            requests.append(events_of(messages))
        except InputError as error:
            raise InputError(f"{error.message}; observation {record.get('id')!r:.60}") from error
    about = [
        {key: value for key, value in record.items() if key not in ("input", "output")}
        for record in records
    ]
    chosen = whole_dialogues(requests)
    logged = []
    for number in chosen:
        messages, offered = tools[number]
        more: dict[str, Any] = {"observations": about if len(chosen) == 1 else [about[number]]}
        if extras := extras_of(messages, READ):
            more["message_fields"] = extras
        logged.append(Logged(requests[number], name, read_tools(offered), more))
    return logged


def _get(record: Mapping[str, Any], key: str) -> Any:
    """A field by its name in the API, or as the exports spell it: sessionId, session_id."""
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in key)
    return record.get(key, record.get(snake))


def _input(value: Any) -> tuple[list[Mapping[str, Any]], Any]:
    """(messages, tools) of an observation's input."""
    match value := _decoded(value):
        case {"messages": messages}:
            return objects("input", messages), value.get("tools")
        case list():
            return objects("input", value), None
        case str():
            return [{"role": "user", "content": value}], None
        case _:
            raise InputError(f"no messages: input: {value!r:.80}")


def _output(value: Any) -> list[Mapping[str, Any]]:
    match value := _decoded(value):
        case None:  # a request that failed
            return []
        case str():
            return [{"role": "assistant", "content": value}]
        case dict():
            return [{"role": "assistant", **{k: v for k, v in value.items() if v is not None}}]
        case _:
            return objects("output", value)


def _decoded(value: Any) -> Any:
    """Exports write JSON values as strings."""
    if isinstance(value, str) and value[:1] in ("[", "{", '"'):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value
