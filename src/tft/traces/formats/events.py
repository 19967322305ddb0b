"""What happens in a logged dialogue, whatever the format: the events that all readers give."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from tft.core.conversation import ToolCall, parse_call
from tft.core.errors import InputError
from tft.traces.formats.unread import Read


class Event(NamedTuple):
    """Something said, called or returned.

    Attributes:
        kind: `text` is what the assistant says, `result` what a tool returned.
        at: index of the logged message that holds it.
        text: of all kinds but `call`.
        call: of a `call`.
        id: of a call, or the call's that a result answers; None where the format gives none.
        note: how it was read, if not as it stands.
    """

    kind: Literal["system", "user", "text", "reasoning", "call", "result"]
    at: int
    text: str = ""
    call: ToolCall | None = None
    id: str | None = None
    note: str = ""


class Logged(NamedTuple):
    """One dialogue as it was logged.

    Attributes:
        events: in their order.
        id: its own id, if it has one.
        tools: name, description and parameters of those that the log says there were.
        more: whatever else the log holds, as it stands, by its path.
    """

    events: list[Event]
    id: str | None = None
    tools: list[dict[str, Any]] | None = None
    more: dict[str, Any] = {}  # noqa: RUF012 - nobody writes to it


# A refusal reads "kind: what and where"; reports count by kind.


PARTS = ("text", "image", "image_url", "input_audio", "document", "search_result", "blob", "file")
"""Types by which a list of content parts is told from a list that a tool returned."""


def read_call(at: int, name: Any, arguments: Any, id: Any = None) -> Event:
    """A call; arguments that are missing or empty are those of a tool without parameters."""
    note = ""
    if arguments is None or arguments == "":
        arguments, note = {}, "empty arguments as {}"
    try:
        call = parse_call(name, arguments)
    except InputError as error:
        raise InputError(f"no tool call: message {at}: {error.message}") from error
    return Event("call", at, call=call, id=None if id is None else str(id), note=note)


def read_text(at: int, content: Any, key: str = "text") -> tuple[str, str]:
    """(text, note) of a content: a string, None or a list of parts of the type `text`.

    Several parts are joined by line breaks, as vLLM does before it fills a template.

    Raises:
        InputError: a part is no text, an image say.
    """
    match content:
        case None:
            return "", ""
        case str():
            return content, ""
        case list():
            texts = [_part(at, part, key) for part in content]
            return "\n".join(texts), "parts of a text, joined" if len(texts) > 1 else ""
        case _:
            raise InputError(f"not text: message {at}: {content!r:.80}")


def _part(at: int, part: Any, key: str) -> str:
    match part:
        case {"type": "text"} if isinstance(text := part.get(key), str):
            return text
        case {"type": kind}:
            raise InputError(f"not text: message {at} holds a part of type {kind!r:.40}")
        case _:
            raise InputError(f"not text: message {at}: {part!r:.80}")


def read_result(at: int, content: Any, id: Any, key: str = "text") -> Event:
    """A tool's result: text, or any other JSON value, which then becomes its JSON."""
    call = None if id is None else str(id)
    if content is None or isinstance(content, str) or _is_parts(content):
        text, note = read_text(at, content, key)
        return Event("result", at, text, id=call, note=note)
    text = json.dumps(content, ensure_ascii=False)
    return Event("result", at, text, id=call, note="result that is no text, as JSON")


def _is_parts(content: Any) -> bool:
    return (
        isinstance(content, list)
        and content != []
        and all(isinstance(part, dict) and part.get("type") in PARTS for part in content)
    )


def result_read(content: Any, key: str = "text") -> Read:
    """What `read_result` reads of a result."""
    return [{"type": True, key: True}] if _is_parts(content) else True


def read_message(at: int, role: str, events: Iterable[Event]) -> list[Event]:
    """The events of one message; where it holds nothing, that nothing was said."""
    found = list(events)
    if not found and role == "assistant":
        found = [Event("text", at)]
    elif not found and role == "user":
        found = [Event("user", at)]
    elif not found and role == "tool":
        raise InputError(f"empty message: message {at} of a {role}")
    return found


def objects(where: str, value: Any) -> list[Mapping[str, Any]]:
    """A list of objects, checked."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InputError(f"no list of objects: {where}: {value!r:.80}")
    return value
