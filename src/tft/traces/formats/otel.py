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
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from tft.core.errors import InputError
from tft.traces.formats.events import (
    Event,
    Logged,
    objects,
    read_call,
    read_message,
    read_result,
    read_text,
    result_read,
)
from tft.traces.formats.openai_chat import read_tools, tool_read
from tft.traces.formats.requests import Request, dialogues
from tft.traces.formats.unread import Read, unread

OPERATION, CONVERSATION = "gen_ai.operation.name", "gen_ai.conversation.id"
OPERATIONS = ("chat", "generate_content")
MESSAGES = ("gen_ai.input.messages", "gen_ai.output.messages")
INSTRUCTIONS, TOOLS = "gen_ai.system_instructions", "gen_ai.tool.definitions"


def pieces(record: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(dialogue, span) of every span of a line that is a request to a chat model.

    Attributes of these spans are by name, whatever the form that they were logged in.

    Raises:
        InputError: no span, or one that names no trace.
    """
    for logged in _spans(record):
        attributes = _attributes(logged.get("attributes"))
        if attributes.get(OPERATION) in OPERATIONS:
            span = {**logged, "attributes": attributes}
            name = _name(span)
            if not isinstance(name, str) or not name:
                raise InputError(f"no trace id: traceId is {name!r:.40}")
            yield name, span


def around(record: Mapping[str, Any]) -> Read:
    """What `pieces` reads of a line: spans of requests."""
    if "resourceSpans" not in record:
        return True
    return {"resourceSpans": [{"scopeSpans": [{"spans": [_is_request]}]}]}


def parse(name: str, records: Sequence[Mapping[str, Any]]) -> list[Logged]:
    """The dialogues of one conversation or trace.

    Raises:
        InputError: naming the message's index and what is wrong there.
    """
    if not any(MESSAGES[0] in span["attributes"] for span in records):
        raise InputError(
            f"no messages: no span has {MESSAGES[0]}; switch the capture of contents on"
        )
    return dialogues(name, [_request(span) for span in sorted(records, key=_start)], "spans")


def _request(span: Mapping[str, Any]) -> Request:
    """What a span's model was shown, and its answer; nothing, where no contents were captured."""
    attributes = span["attributes"]
    if MESSAGES[0] not in attributes:
        return Request([], None, list(unread(span, _span_read)))
    told = (INSTRUCTIONS, *MESSAGES, TOOLS)
    attributes = {**attributes, **{key: _decoded(attributes.get(key)) for key in told}}
    return Request(
        _events(attributes),
        read_tools(attributes[TOOLS]),
        list(unread({**span, "attributes": attributes}, _span_read)),
    )


def _events(attributes: Mapping[str, Any]) -> list[Event]:
    events = []
    if instructions := attributes[INSTRUCTIONS]:
        text, note = read_text(0, instructions, "content")
        events.append(Event("system", 0, text, note=note))
    asked, answers = (objects(key, attributes[key] or []) for key in MESSAGES)
    for at, message in enumerate([*asked, *answers[:1]]):
        events += read_message(at, str(message.get("role")), _message(at, message))
    if len(answers) > 1:
        raise InputError(f"several answers: {MESSAGES[1]} holds {len(answers)}; which was given?")
    return events


def _message(at: int, message: Mapping[str, Any]) -> Iterator[Event]:
    role, texts = message.get("role"), []
    if role not in ("system", "user", "assistant", "tool"):
        raise InputError(f"unknown role: message {at}: {role!r:.40}")
    for part in objects(f"message {at}: parts", message.get("parts")):
        match part.get("type"):
            case "text":
                texts.append(part)
                continue
            case "tool_call":
                event = read_call(at, part.get("name"), part.get("arguments"), part.get("id"))
            case "tool_call_response":
                # Named `result` in the conventions' earlier drafts.
                content = part.get("response", part.get("result"))
                event = read_result(at, content, part.get("id"), "content")
            case "reasoning":
                event = Event("reasoning", at, str(part.get("content")))
            case kind:
                raise InputError(f"not text: message {at} holds a part of type {kind!r:.40}")
        yield from _text(at, role, texts)
        texts = []
        yield event
    yield from _text(at, role, texts)


def _text(at: int, role: str, parts: list[Any]) -> Iterator[Event]:
    text, note = read_text(at, parts, "content")
    match role:
        case "user" if parts:
            yield Event("user", at, text, note=note)
        case "assistant" if text:
            yield Event("text", at, text, note=note)
        case "system" if text:
            yield Event("system", at, text, note=note)
        case "tool" if parts:
            raise InputError(f"orphan result: message {at} of a tool names no call")


def _spans(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "resourceSpans" not in record:
        yield record
        return
    for resource in objects("resourceSpans", record["resourceSpans"]):
        for scope in objects("scopeSpans", resource.get("scopeSpans", [])):
            yield from objects("spans", scope.get("spans", []))


def _is_request(span: Mapping[str, Any]) -> bool:
    return _attributes(span.get("attributes")).get(OPERATION) in OPERATIONS


def _name(span: Mapping[str, Any]) -> Any:
    """The conversation, or else the trace, which the SDK writes into the span's context."""
    context = span.get("context")
    trace = span.get("traceId", context.get("trace_id") if isinstance(context, dict) else None)
    return span["attributes"].get(CONVERSATION) or trace


def _start(span: Mapping[str, Any]) -> str:
    start = span.get("startTimeUnixNano", span.get("start_time"))
    # OTLP/JSON writes 64-bit numbers as strings; the SDK's are ISO times, which sort as text.
    return f"{start!s:0>20}"


def _attributes(value: Any) -> dict[str, Any]:
    """Attributes by name, of OTLP's list of {key, value: {stringValue: ...}} or of an object."""
    if isinstance(value, dict):
        return value
    found = {}
    for one in objects("attributes", value or []):
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


def _decoded(value: Any) -> Any:
    """Structured attributes of spans may be JSON strings."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: an attribute of messages ({error})") from error


def _span_read(span: Mapping[str, Any]) -> Read:
    """What `_request` and `_name` read of a span."""
    attributes: dict[str, Read] = {OPERATION: True, CONVERSATION: True}
    if MESSAGES[0] in span["attributes"]:
        attributes |= {key: [MESSAGE] for key in MESSAGES}
        attributes |= {INSTRUCTIONS: [TEXT], TOOLS: [tool_read]}
    if span["attributes"].get(CONVERSATION):
        return {"attributes": attributes}
    if "traceId" in span:
        return {"attributes": attributes, "traceId": True}
    return {"attributes": attributes, "context": {"trace_id": True}}


def _part_read(part: Mapping[str, Any]) -> Read:
    match part.get("type"):
        case "tool_call":
            return {"type": True, "id": True, "name": True, "arguments": True}
        case "tool_call_response":
            content = "response" if "response" in part else "result"
            return {"type": True, "id": True, content: partial(result_read, key="content")}
        case _:
            return TEXT


TEXT: Read = {"type": True, "content": True}
MESSAGE: Read = {"role": True, "parts": [_part_read]}
