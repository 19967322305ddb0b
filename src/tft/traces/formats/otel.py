"""OpenTelemetry spans of requests to chat models, by the GenAI semantic conventions.

Read are the attributes gen_ai.input.messages, gen_ai.output.messages, gen_ai.system_instructions,
gen_ai.tool.definitions and gen_ai.conversation.id of spans whose gen_ai.operation.name is chat or
generate_content. Semantic conventions 1.37 introduced them, with the schema
gen-ai-input-messages.json; in opentelemetry-semantic-conventions 0.66b2 they have the same names.
Before 1.37 messages were events, which are not read.

A line is an OTLP/JSON export ({"resourceSpans": ...}, as the Collector's file exporter writes it)
or one span, OTLP's or the Python SDK's `to_json`. Spans of one conversation, or of one trace where
no conversation is named, are one dialogue or several. What an export holds around the spans of
requests (resources, scopes, spans of something else) is of no dialogue: it is counted, not kept.
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
    """Structured attributes of spans may be JSON strings."""
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
    """Of a span, where the capture of contents is off."""

    operation: str = Field(alias=OPERATION)
    conversation: Any = Field(None, alias=CONVERSATION)


class Contents(Attributes):
    """Of a span, where the capture of contents is on."""

    instructions: Decoded[str | list[Text]] = Field(None, alias="gen_ai.system_instructions")
    tools: Decoded[Tools] = Field(None, alias="gen_ai.tool.definitions")
    asked: Decoded[list[Message]] = Field(None, alias=ASKED)
    answered: Decoded[list[Message]] = Field(None, alias=ANSWERED)


def _capture(attributes: Any) -> str:
    return "on" if isinstance(attributes, dict) and ASKED in attributes else "off"


class Span(LogModel):
    """A request of a conversation that its attributes name."""

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
    """Attributes by name, of OTLP's list of {key, value: {stringValue: ...}} or of an object."""
    if isinstance(value, dict):
        return value
    if not isinstance(value or [], list) or not all(isinstance(one, dict) for one in value or []):
        raise InputError(f"no list of objects: attributes: {value!r:.80}")
    found = {}
    for one in value or []:
        name = str(one.get("key"))
        found[name] = _value(one.get("value"))
        if more := {key: one[key] for key in one if key not in ("key", "value")}:
            found[f"{name}: more"] = more
    return found


def _value(value: Any) -> Any:
    """What an attribute's value holds; one of another form than OTLP's stays as it stands."""
    match value:
        case {"arrayValue": {"values": list(items), **more}, **kinds} if not more and not kinds:
            return [_value(one) for one in items]
        case {"kvlistValue": {"values": list(pairs), **more}, **kinds} if not more and not kinds:
            return _attributes(pairs)
        case dict() if len(value) == 1:
            return next(iter(value.values()))
        case _:
            return value


def _chat(span: dict[str, Any]) -> Any:
    """A request to a chat model, its attributes by name; a span of something else is left out."""
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
    """(dialogue, span) of every span of a line that is a request to a chat model.

    Attributes of these spans are by name, whatever the form that they were logged in.

    Raises:
        InputError: no span, or one that names no trace.
    """
    spans = [_chat(dict(record))]
    if "resourceSpans" in record:
        export = Export.read(record)
        spans = [one for each in export.resources for scope in each.scopes for one in scope.spans]
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
    """(path, value) of what an export holds around the spans of requests."""
    if "resourceSpans" in record:
        yield from Export.read(record).left_out()


# --- the dialogues in the spans -------------------------------------------------------------------
def parse(name: str, records: Sequence[Record]) -> list[Logged]:
    """The dialogues of one conversation or trace.

    Raises:
        InputError: naming the message's index and what is wrong there.
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
    told, more = span.attributes, list(span.left_out())
    if not isinstance(told, Contents):
        return Request([], None, more)
    answers = told.answered or []
    said = list(events.said(0, "system", told.instructions)) if told.instructions else []
    said += events.events_of([*(told.asked or []), *answers[:1]], _events)
    if len(answers) > 1:
        raise InputError(f"several answers: {ANSWERED} holds {len(answers)}; which was given?")
    return Request(said, declared(told.tools), more)


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
