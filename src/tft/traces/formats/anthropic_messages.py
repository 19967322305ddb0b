"""Anthropic messages: one dialogue a line, {"system": ..., "messages": [...], "tools": [...]}.

The form is that of the Messages API (version 2023-06-01), as anthropic-sdk-python 2.14 types it.
Blocks read: text, tool_use, tool_result, thinking. Refused are images, documents and what
Anthropic's own server tools did.
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
    """{"type": "thinking", "thinking": "..."}, or `data` where it is encrypted."""

    type: Literal["thinking", "redacted_thinking"]
    thinking: AnyText = Field("", validation_alias=AliasChoices("thinking", "data"))


class SystemMessage(LogModel):
    """Instructions."""

    role: Literal["system"]
    content: str | list[TextPart]


class UserMessage(LogModel):
    """What the user says, and what tools returned."""

    role: Literal["user"]
    content: str | list[Annotated[TextPart | ToolResult, Field(discriminator="type")]]


class AssistantMessage(LogModel):
    """What the assistant thinks, says and calls."""

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
    """One line.

    Raises:
        InputError: naming the message's index and what is wrong there.
    """
    line = Dialogue.read(record)
    told = list(events.said(0, "system", line.system)) if line.system else []
    told += events.events_of(line.messages, _events)
    return Logged(told, line.id, declared(line.tools), dict(line.left_out()))


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
