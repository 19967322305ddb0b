"""What happens in a logged dialogue: the events that the readers of all formats return."""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import Discriminator, Tag

from tft.core.conversation import ToolCall, parse_call
from tft.core.errors import InputError
from tft.traces.formats.model import LogModel


class Event(NamedTuple):
    """Something said, called, or returned.

    Attributes:
        kind: The kind of event. `text` is what the assistant says, `result` what a tool returned.
        at: The index of the logged message that contains it.
        text: The text, for all kinds except `call`.
        call: The call, for the kind `call`.
        id: The id of a call, or of the call that a result answers; None if the log has none.
        note: How it is represented, if differently from the log.
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
        events: The events, in order.
        id: The dialogue's own id, if it has one.
        tools: Name, description, and parameters of the tools in the log.
        more: Everything else in the log, unchanged, by its path.
    """

    events: list[Event]
    id: str | None = None
    tools: list[dict[str, Any]] | None = None
    more: dict[str, Any] = {}  # noqa: RUF012 - never changed


class TextPart(LogModel):
    """A text among the parts of a message, {"type": "text", "text": "Which floor?"}."""

    type: Literal["text"]
    text: str


Content = str | Sequence[TextPart] | None
PARTS = ("text", "image", "image_url", "input_audio", "document", "search_result", "blob", "file")
"""Types that distinguish a list of content parts from a list that a tool returned."""


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
"""What a tool returned: a text, possibly in parts, or any other JSON value."""
Arguments = dict[str, Any] | str | None
"""The arguments of a call: an object, its JSON, or None for a tool without parameters."""


SPEAKERS: dict[str, Literal["system", "user", "text"]] = {
    "system": "system", "developer": "system", "user": "user", "assistant": "text",
}  # fmt: skip
"""The kind of event of a text, by the role of its message."""


def events_of(messages: Iterable[Any], read: Callable[[int, Any], Iterable[Event]]) -> list[Event]:
    """The events that `read` finds in messages, or an empty text for a message without events.

    Raises:
        InputError: a tool returned nothing, not even an empty text.
    """
    events: list[Event] = []
    for at, message in enumerate(messages):
        message_events = list(read(at, message))
        if not message_events and message.role == "tool":
            raise InputError(f"empty message: message {at} of a {message.role}")
        events += message_events or [Event(SPEAKERS[message.role], at)]
    return events


def runs(content: str | Sequence[Any]) -> Iterator[Any]:
    """Yield the parts of a message one by one, with consecutive texts together."""
    if isinstance(content, str):
        yield content
    else:
        for is_text, group in itertools.groupby(content, lambda part: isinstance(part, TextPart)):
            parts = list(group)
            yield from [parts] if is_text else parts


def said(at: int, role: str, content: Content) -> Iterator[Event]:
    """Yield the text of a message, unless it is an assistant message without text."""
    text, note = _joined(content)
    if text or role != "assistant":
        yield Event(SPEAKERS[role], at, text, note=note)


def called(at: int, name: str, arguments: Arguments, id: str | None) -> Event:
    """The event of a call.

    Raises:
        InputError: the call has no name, or its arguments are not a JSON object.
    """
    note = "" if arguments not in (None, "") else "empty arguments as {}"
    try:
        call = parse_call(name, {} if note else arguments)
    except InputError as error:
        raise InputError(f"no tool call: message {at}: {error.message}") from error
    return Event("call", at, call=call, id=id, note=note)


def returned(at: int, content: Any, id: str | None) -> Event:
    """The event of a tool result: a text, or the JSON of any other value."""
    match content:
        case None | str() | [TextPart(), *_]:
            text, note = _joined(content)
        case _:
            text, note = json.dumps(content, ensure_ascii=False), "result that is no text, as JSON"
    return Event("result", at, text, id=id, note=note)


def _joined(content: Content) -> tuple[str, str]:
    """(text, note), with several parts joined by line breaks, as vLLM does before a template."""
    if content is None or isinstance(content, str):
        return content or "", ""
    note = "parts of a text, joined" if len(content) > 1 else ""
    return "\n".join(part.text for part in content), note
