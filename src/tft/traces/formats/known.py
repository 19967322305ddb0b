"""The known formats, and how to recognize the format of a line."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from tft.traces.formats import anthropic_messages, langfuse, openai_chat, otel, published
from tft.traces.formats.events import Logged
from tft.traces.formats.model import Record

BY_LINE: dict[str, Callable[[Record], Logged]] = {
    "openai": openai_chat.parse,
    "anthropic": anthropic_messages.parse,
    "published": published.parse,
}
"""Formats with one dialogue per line."""


class Spread(NamedTuple):
    """A format that spreads a dialogue over several lines.

    Attributes:
        pieces: Yields the pieces of a line, each with the name of its dialogue.
        parse: Makes dialogues of the pieces with one name.
        around: Yields (path, value) of what a line contains around its pieces.
    """

    pieces: Callable[[Record], Iterable[tuple[str, Record]]]
    parse: Callable[[str, Sequence[Record]], list[Logged]]
    around: Callable[[Record], Iterable[tuple[str, Any]]] = lambda _: ()


SPREAD = {
    "langfuse": Spread(langfuse.pieces, langfuse.parse),
    "otel": Spread(otel.pieces, otel.parse, otel.around),
}


def shape(record: Record) -> str | None:
    """The format that a line's keys indicate; "messages" means OpenAI's or Anthropic's."""
    if "resourceSpans" in record or ("attributes" in record and "name" in record):
        return "otel"
    if ("traceId" in record or "trace_id" in record) and "type" in record:
        return "langfuse"
    if isinstance(record.get("context"), str) or {"question", "answer"} <= record.keys():
        return "published"
    messages = record.get("messages")
    if not isinstance(messages, list):
        return None
    blocks = [
        block.get("type")
        for message in messages
        if isinstance(message, dict) and isinstance(message.get("content"), list)
        for block in message["content"]
        if isinstance(block, dict)
    ]
    if "system" in record or {"tool_use", "tool_result", "thinking"} & set(map(str, blocks)):
        return "anthropic"
    roles = {str(message.get("role")) for message in messages if isinstance(message, dict)}
    calls = any(message.get("tool_calls") for message in messages if isinstance(message, dict))
    return "openai" if calls or roles & {"tool", "system", "developer"} else "messages"
