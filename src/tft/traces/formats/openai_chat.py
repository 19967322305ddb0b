"""OpenAI chat messages: one dialogue per line, {"messages": [...], "tools": [...], "id": ...}.

The format is that of the chat completions API, as openai-python 3.57 types it: the roles system,
developer, user, assistant (text, refusal, `tool_calls` of function tools), and tool. Arguments as
an object and LangChain's calls {"name", "args", "id"} are read as well, because other programs
write them. Images, audio, custom tools, and `function_call` with the role function, which the API
had before tools, are refused.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field

from tft.core.errors import InputError
from tft.traces.formats import events
from tft.traces.formats.events import Arguments, Event, Logged, Result, TextPart
from tft.traces.formats.model import AnyText, Filled, LogModel, Record


class TextMessage(LogModel):
    """Instructions, or a user message."""

    role: Literal["system", "developer", "user"]
    content: str | list[TextPart] | None = None


class ToolMessage(LogModel):
    """What a tool returned."""

    role: Literal["tool", "function"]
    content: Result[TextPart] = None
    tool_call_id: AnyText | None = None


class RefusalPart(TextPart):
    """{"type": "refusal", "refusal": "No."}."""

    type: Literal["refusal"]  # type: ignore[assignment]
    text: str = Field(alias="refusal")


class Function(LogModel):
    """{"name": "FindRoom", "arguments": "{}"}."""

    name: str
    arguments: Arguments = None


class Call(LogModel):
    """{"id": "call_1", "type": "function", "function": {...}}."""

    id: AnyText | None = None
    type: Any = None
    function: Function


class LangChainCall(LogModel):
    """{"id": "call_1", "type": "tool_call", "name": "FindRoom", "args": {}}."""

    id: AnyText | None = None
    type: Any = None
    name: str
    args: Arguments


class AssistantMessage(LogModel):
    """An assistant message: reasoning, text, and calls."""

    role: Literal["assistant"]
    reasoning_content: Filled[AnyText] = None
    content: str | list[Annotated[TextPart | RefusalPart, Field(discriminator="type")]] | None = (
        None
    )
    refusal: Filled[AnyText] = None
    tool_calls: Filled[list[Annotated[Call | LangChainCall, Field(union_mode="left_to_right")]]] = (
        None
    )


Message = Annotated[TextMessage | ToolMessage | AssistantMessage, Field(discriminator="role")]


class Declaration(LogModel):
    """{"name": "FindRoom", "description": ..., "parameters": {...}}."""

    name: AnyText | None = None
    description: Any = None
    parameters: Any = Field(None, validation_alias=AliasChoices("parameters", "input_schema"))


class Tool(LogModel):
    """{"type": "function", "function": {...}}."""

    type: Any = None
    function: Declaration


class FlatTool(Declaration):
    """{"type": "custom", "name": "FindRoom", "description": ..., "input_schema": {...}}."""

    type: Any = None
    function: None = None


Tools = Filled[list[Annotated[Tool | FlatTool, Field(union_mode="left_to_right")]]]


class Dialogue(LogModel):
    """A line: {"messages": [...], "tools": [...], "id": ...}."""

    id: AnyText | None = None
    messages: list[Message]
    tools: Tools = None


def parse(record: Record) -> Logged:
    """Parse one line.

    Raises:
        InputError: a message is malformed; names its index and what is wrong.
    """
    line = Dialogue.read(record)
    return Logged(events_of(line.messages), line.id, declared(line.tools), dict(line.left_out()))


def events_of(messages: Sequence[Message]) -> list[Event]:
    """The events of a list of messages."""
    return events.events_of(messages, _events)


def _events(at: int, message: Message) -> Iterator[Event]:
    if message.role == "function" or (message.model_extra or {}).get("function_call"):
        raise InputError(f"old form: message {at}: function_call; log tool_calls and role tool")
    match message:
        case TextMessage():
            yield from events.said(at, message.role, message.content)
        case ToolMessage():
            yield events.returned(at, message.content, message.tool_call_id)
        case AssistantMessage():
            if message.reasoning_content:
                yield Event("reasoning", at, message.reasoning_content)
            yield from events.said(at, "assistant", message.content)
            if message.refusal:
                yield Event("text", at, message.refusal, note="refusal as text")
            for call in message.tool_calls or []:
                if isinstance(call, Call):
                    function = call.function
                    yield events.called(at, function.name, function.arguments, call.id)
                else:
                    yield events.called(at, call.name, call.args, call.id)


def declared(tools: Tools) -> list[dict[str, Any]] | None:
    """Name, description, and parameters of the tools that a log declares, or None without any."""
    functions = [tool.function if isinstance(tool, Tool) else tool for tool in tools or []]
    return [
        {
            "name": function.name,
            "description": function.description,
            "parameters": function.parameters,
        }
        for function in functions
    ] or None
