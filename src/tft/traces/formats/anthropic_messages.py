"""Anthropic messages: one dialogue per line, {"system": ..., "messages": [...], "tools": [...]}.

The format is that of the Messages API (version 2023-06-01), as anthropic-sdk-python 2.14 types it.
The blocks text, tool_use, tool_result, and thinking are read. Images, documents, and blocks of
Anthropic's own server tools are refused.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field

from tft.traces.formats import events
from tft.traces.formats.events import Arguments, Event, Logged, Result, TextPart
from tft.traces.formats.model import AnyText, Filled, LogModel, Record
from tft.traces.formats.openai_chat import Tools, declared


class ToolUse(LogModel):
    """{"type": "tool_use", "id": "toolu_1", "name": "FindRoom", "input": {}}."""

    type: Literal["tool_use"]
    id: AnyText | None = None
    name: str
    input: Arguments = None


class ToolResult(LogModel):
    """{"type": "tool_result", "tool_use_id": "toolu_1", "content": "..."}."""

    type: Literal["tool_result"]
    tool_use_id: AnyText | None = None
    content: Result[TextPart] = None
    is_error: Any = None


class Thinking(LogModel):
    """{"type": "thinking", "thinking": "..."}, with `data` instead if it is encrypted."""

    type: Literal["thinking", "redacted_thinking"]
    thinking: AnyText = Field("", validation_alias=AliasChoices("thinking", "data"))


class SystemMessage(LogModel):
    """Instructions."""

    role: Literal["system"]
    content: str | list[TextPart]


class UserMessage(LogModel):
    """A user message, with tool results."""

    role: Literal["user"]
    content: str | list[Annotated[TextPart | ToolResult, Field(discriminator="type")]]


class AssistantMessage(LogModel):
    """An assistant message: reasoning, text, and calls."""

    role: Literal["assistant"]
    content: str | list[Annotated[TextPart | ToolUse | Thinking, Field(discriminator="type")]]


class Dialogue(LogModel):
    """A line: {"system": ..., "messages": [...], "tools": [...]}."""

    id: AnyText | None = None
    system: Filled[str | list[TextPart]] = None
    messages: list[
        Annotated[SystemMessage | UserMessage | AssistantMessage, Field(discriminator="role")]
    ]
    tools: Tools = None


def parse(record: Record) -> Logged:
    """Parse one line.

    Raises:
        InputError: a message is malformed; names its index and what is wrong.
    """
    line = Dialogue.read(record)
    logged_events = list(events.said(0, "system", line.system)) if line.system else []
    logged_events += events.events_of(line.messages, _events)
    return Logged(logged_events, line.id, declared(line.tools), dict(line.left_out()))


def _events(at: int, message: SystemMessage | UserMessage | AssistantMessage) -> Iterator[Event]:
    for part in events.runs(message.content):
        match part:
            case ToolUse():
                yield events.called(at, part.name, part.input, part.id)
            case ToolResult():
                result = events.returned(at, part.content, part.tool_use_id)
                yield result._replace(note="result marked as error") if part.is_error else result
            case Thinking():
                yield Event("reasoning", at, part.thinking)
            case _:
                yield from events.said(at, message.role, part)
