"""What happens in a logged dialogue, whatever the format: the events that all readers give."""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import Discriminator, Tag

from tft.core.conversation import ToolCall, parse_call
from tft.core.errors import InputError
from tft.traces.formats.model import LogModel


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


class TextPart(LogModel):
    """A text among the parts of a content, {"type": "text", "text": "Which floor?"}."""

    type: Literal["text"]
    text: str


Content = str | Sequence[TextPart] | None
PARTS = ("text", "image", "image_url", "input_audio", "document", "search_result", "blob", "file")
"""Types by which a list of content parts is told from a list that a tool returned."""


def _form(result: Any) -> str:
    is_parts = (
        isinstance(result, list)
        and result != []
        and all(isinstance(part, dict) and part.get("type") in PARTS for part in result)
    )
    return "parts" if is_parts else "value"


Part = TypeVar("Part", bound=TextPart)
Result = Annotated[
    Annotated[list[Part], Tag("parts")] | Annotated[Any, Tag("value")], Discriminator(_form)
]
"""What a tool returned: a text, in parts or not, or any other JSON value."""
Arguments = dict[str, Any] | str | None
"""Of a call: an object or its JSON; nothing, for a tool without parameters."""


SPEAKERS: dict[str, Literal["system", "user", "text"]] = {
    "system": "system", "developer": "system", "user": "user", "assistant": "text",
}  # fmt: skip
"""Kinds of events by the roles whose texts they are."""


def events_of(messages: Iterable[Any], read: Callable[[int, Any], Iterable[Event]]) -> list[Event]:
    """The events that `read` finds in messages; where it finds none, nothing was said.

    Raises:
        InputError: a tool returned nothing, not even an empty text.
    """
    events: list[Event] = []
    for at, message in enumerate(messages):
        found = list(read(at, message))
        if not found and message.role == "tool":
            raise InputError(f"empty message: message {at} of a {message.role}")
        events += found or [Event(SPEAKERS[message.role], at)]
    return events


def runs(content: str | Sequence[Any]) -> Iterator[Any]:
    """The parts of a content one by one, but texts in a row together."""
    if isinstance(content, str):
        yield content
    else:
        for is_text, group in itertools.groupby(content, lambda one: isinstance(one, TextPart)):
            parts = list(group)
            yield from [parts] if is_text else parts


def said(at: int, role: str, content: Content) -> Iterator[Event]:
    """What a message says; nothing if the assistant, who may call instead, says nothing."""
    text, note = _joined(content)
    if text or role != "assistant":
        yield Event(SPEAKERS[role], at, text, note=note)


def called(at: int, name: str, arguments: Arguments, id: str | None) -> Event:
    """A call.

    Raises:
        InputError: no name, or arguments that are no JSON object.
    """
    note = "" if arguments not in (None, "") else "empty arguments as {}"
    try:
        call = parse_call(name, {} if note else arguments)
    except InputError as error:
        raise InputError(f"no tool call: message {at}: {error.message}") from error
    return Event("call", at, call=call, id=id, note=note)


def returned(at: int, content: Any, id: str | None) -> Event:
    """A tool's result: text, or any other JSON value, which then becomes its JSON."""
    match content:
        case None | str() | [TextPart(), *_]:
            text, note = _joined(content)
        case _:
            text, note = json.dumps(content, ensure_ascii=False), "result that is no text, as JSON"
    return Event("result", at, text, id=id, note=note)


def _joined(content: Content) -> tuple[str, str]:
    """(text, note); several parts are joined by line breaks, as vLLM does before a template."""
    if content is None or isinstance(content, str):
        return content or "", ""
    note = "parts of a text, joined" if len(content) > 1 else ""
    return "\n".join(part.text for part in content), note
