"""OpenTelemetry spans of requests to chat models, by the GenAI semantic conventions.

The attributes gen_ai.input.messages, gen_ai.output.messages, gen_ai.system_instructions,
gen_ai.tool.definitions, and gen_ai.conversation.id are read, in spans whose gen_ai.operation.name
is chat or generate_content. Semantic conventions 1.37 introduced them, with the schema
gen-ai-input-messages.json; in opentelemetry-semantic-conventions 0.66b2 they have the same names.
Before 1.37 messages were events, which are not read.

A line is an OTLP/JSON export ({"resourceSpans": ...}, as the Collector's file exporter writes it)
or a single span, in OTLP or as the Python SDK's `to_json` writes it. The spans of one conversation,
or of one trace if no conversation is given, are one or several dialogues. What an export contains
around the spans of requests (resources, scopes, other spans) is counted but not kept.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Discriminator, Field, Tag

from tft.core.errors import InputError
from tft.traces.formats import events
from tft.traces.formats.events import Arguments, Event, Logged, Result, TextPart
from tft.traces.formats.model import AnyText, Filled, LeftOut, LogModel, Record, T
from tft.traces.formats.openai_chat import Tools, declared
from tft.traces.formats.requests import Request, dialogues

OPERATION: Final = "gen_ai.operation.name"
OPERATIONS = ("chat", "generate_content")
CONVERSATION: Final = "gen_ai.conversation.id"
ASKED: Final = "gen_ai.input.messages"
ANSWERED: Final = "gen_ai.output.messages"


def _decoded(value: Any) -> Any:
    """The JSON value of a string, because structured attributes of spans may be JSON strings."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}") from error


Decoded = Annotated[Filled[T], BeforeValidator(_decoded)]


class Text(TextPart):
    """{"type": "text", "content": "Which floor?"}."""

    text: str = Field(alias="content")


class ToolCall(LogModel):
    """{"type": "tool_call", "id": "call_1", "name": "FindRoom", "arguments": {}}."""

    type: Literal["tool_call"]
    id: AnyText | None = None
    name: str
    arguments: Arguments = None


class ToolCallResponse(LogModel):
    """{"type": "tool_call_response", "id": "call_1", "response": "..."}; `result` in drafts."""

    type: Literal["tool_call_response"]
    id: AnyText | None = None
    response: Result[Text] = Field(None, validation_alias=AliasChoices("response", "result"))


class Reasoning(LogModel):
    """{"type": "reasoning", "content": "..."}."""

    type: Literal["reasoning"]
    content: AnyText = ""


class Message(LogModel):
    """{"role": "assistant", "parts": [...]}."""

    role: Literal["system", "user", "assistant", "tool"]
    parts: list[
        Annotated[Text | ToolCall | ToolCallResponse | Reasoning, Field(discriminator="type")]
    ]


class Attributes(LogModel):
    """The attributes of a span without captured content."""

    operation: str = Field(alias=OPERATION)
    conversation: Any = Field(None, alias=CONVERSATION)


class Contents(Attributes):
    """The attributes of a span with captured content."""

    instructions: Decoded[str | list[Text]] = Field(None, alias="gen_ai.system_instructions")
    tools: Decoded[Tools] = Field(None, alias="gen_ai.tool.definitions")
    asked: Decoded[list[Message]] = Field(None, alias=ASKED)
    answered: Decoded[list[Message]] = Field(None, alias=ANSWERED)


def _capture(attributes: Any) -> str:
    return "on" if isinstance(attributes, dict) and ASKED in attributes else "off"


class Span(LogModel):
    """A request with a conversation id in its attributes."""

    attributes: Annotated[
        Annotated[Contents, Tag("on")] | Annotated[Attributes, Tag("off")], Discriminator(_capture)
    ]


class OtlpSpan(Span):
    """A request of a trace, {"traceId": "5b8e...", "attributes": ...}."""

    trace: str = Field(alias="traceId")


class Context(LogModel):
    """{"trace_id": "0x5b8e...", "span_id": ...}."""

    trace_id: str


class SdkSpan(Span):
    """A request of a trace, as the Python SDK writes it."""

    context: Context


# --- the export around the spans ------------------------------------------------------------------
def _attributes(value: Any) -> dict[str, Any]:
    """Attributes by name, from an object or OTLP's list of {key, value: {stringValue: ...}}."""
    if isinstance(value, dict):
        return value
    if not isinstance(value or [], list) or not all(isinstance(item, dict) for item in value or []):
        raise InputError(f"no list of objects: attributes: {value!r:.80}")
    attributes = {}
    for item in value or []:
        name = str(item.get("key"))
        attributes[name] = _value(item.get("value"))
        if more := {key: item[key] for key in item if key not in ("key", "value")}:
            attributes[f"{name}: more"] = more
    return attributes


def _value(value: Any) -> Any:
    """The content of an attribute's value; a value that is not in OTLP's form stays unchanged."""
    match value:
        case {"arrayValue": {"values": list(items), **more}, **kinds} if not more and not kinds:
            return [_value(item) for item in items]
        case {"kvlistValue": {"values": list(pairs), **more}, **kinds} if not more and not kinds:
            return _attributes(pairs)
        case dict() if len(value) == 1:
            return next(iter(value.values()))
        case _:
            return value


def _chat(span: dict[str, Any]) -> Any:
    """A request to a chat model, with attributes by name; other spans are left out."""
    attributes = _attributes(span.get("attributes"))
    is_chat = attributes.get(OPERATION) in OPERATIONS
    return {**span, "attributes": attributes} if is_chat else LeftOut(span)


class Scope(LogModel):
    """{"spans": [...]}, of one library."""

    spans: list[Annotated[dict[str, Any], AfterValidator(_chat)]] = Field([])


class Resource(LogModel):
    """{"scopeSpans": [...]}, of one service."""

    scopes: list[Scope] = Field([], alias="scopeSpans")


class Export(LogModel):
    """{"resourceSpans": [...]}, a line of the Collector's file exporter."""

    resources: list[Resource] = Field(alias="resourceSpans")


def pieces(record: Record) -> Iterator[tuple[str, Record]]:
    """Yield (dialogue, span) for every span of a line that is a request to a chat model.

    The attributes of these spans are by name, in whatever form they were logged.

    Raises:
        InputError: the line is not a span or an export, or a span has no trace id.
    """
    spans = [_chat(dict(record))]
    if "resourceSpans" in record:
        export = Export.read(record)
        spans = [
            span
            for resource in export.resources
            for scope in resource.scopes
            for span in scope.spans
        ]
    for span in spans:
        if not isinstance(span, LeftOut):
            context = span.get("context")
            trace = span.get(
                "traceId", context.get("trace_id") if isinstance(context, dict) else None
            )
            name = span["attributes"].get(CONVERSATION) or trace
            if not isinstance(name, str) or not name:
                raise InputError(f"no trace id: traceId is {name!r:.40}")
            yield name, span


def around(record: Record) -> Iterator[tuple[str, Any]]:
    """Yield (path, value) of what an export contains around the spans of requests."""
    if "resourceSpans" in record:
        yield from Export.read(record).left_out()


# --- the dialogues in the spans -------------------------------------------------------------------
def parse(name: str, records: Sequence[Record]) -> list[Logged]:
    """Parse the dialogues of one conversation or trace.

    Raises:
        InputError: a message is malformed; names its index and what is wrong.
    """
    spans = [_span(record) for record in sorted(records, key=_start)]
    if not any(isinstance(span.attributes, Contents) for span in spans):
        raise InputError(f"no messages: no span has {ASKED}; switch the capture of contents on")
    return dialogues(name, [_request(span) for span in spans], "spans")


def _start(span: Record) -> str:
    start = span.get("startTimeUnixNano", span.get("start_time"))
    # OTLP/JSON writes 64-bit numbers as strings; the SDK's are ISO times, which sort as text.
    return f"{start!s:0>20}"


def _span(span: Record) -> Span:
    if span["attributes"].get(CONVERSATION):
        return Span.read(span)
    return (OtlpSpan if "traceId" in span else SdkSpan).read(span)


def _request(span: Span) -> Request:
    attributes, more = span.attributes, list(span.left_out())
    if not isinstance(attributes, Contents):
        return Request([], None, more)
    answers = attributes.answered or []
    request_events = (
        list(events.said(0, "system", attributes.instructions)) if attributes.instructions else []
    )
    request_events += events.events_of([*(attributes.asked or []), *answers[:1]], _events)
    if len(answers) > 1:
        raise InputError(f"several answers: {ANSWERED} holds {len(answers)}; which was given?")
    return Request(request_events, declared(attributes.tools), more)


def _events(at: int, message: Message) -> Iterator[Event]:
    for part in events.runs(message.parts):
        match part:
            case ToolCall():
                yield events.called(at, part.name, part.arguments, part.id)
            case ToolCallResponse():
                yield events.returned(at, part.response, part.id)
            case Reasoning():
                yield Event("reasoning", at, part.content)
            case _ if message.role == "tool":
                raise InputError(f"orphan result: message {at} of a tool names no call")
            case _:
                yield from events.said(at, message.role, part)
