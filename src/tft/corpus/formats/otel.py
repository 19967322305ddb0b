"""OpenTelemetry spans of requests to chat models, by the GenAI semantic conventions.

Read are the attributes gen_ai.input.messages, gen_ai.output.messages, gen_ai.system_instructions,
gen_ai.tool.definitions and gen_ai.conversation.id of spans whose gen_ai.operation.name is chat or
generate_content. Semantic conventions 1.37 introduced them, with the schema
gen-ai-input-messages.json; in opentelemetry-semantic-conventions 0.66b2 they have the same names.
Before 1.37 messages were events, which are not read.

A line is an OTLP/JSON export ({"resourceSpans": ...}, as the Collector's file exporter writes it)
or one span, OTLP's or the Python SDK's `to_json`. Spans of one conversation, or of one trace where
no conversation is named, are one dialogue or several. Of a span its attributes are kept, and of a
text part its text.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tft.corpus.formats.events import (
    Event,
    Logged,
    objects,
    read_call,
    read_message,
    read_result,
    read_text,
    whole_dialogues,
)
from tft.corpus.formats.openai_chat import read_tools
from tft.errors import InputError

OPERATIONS = ("chat", "generate_content")
MESSAGES = ("gen_ai.input.messages", "gen_ai.output.messages")
INSTRUCTIONS, TOOLS = "gen_ai.system_instructions", "gen_ai.tool.definitions"


def pieces(record: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(dialogue, {start, attributes}) of every span of a line that is a request to a chat model.

    Raises:
        InputError: no span, or one that names no trace.
    """
    for span in _spans(record):
        attributes = _attributes(span.get("attributes"))
        if attributes.get("gen_ai.operation.name") not in OPERATIONS:
            continue
        context = span.get("context")
        trace = span.get("traceId", context.get("trace_id") if isinstance(context, dict) else None)
        name = attributes.get("gen_ai.conversation.id") or trace
        if not isinstance(name, str) or not name:
            raise InputError(f"no trace id: traceId is {trace!r:.40}")
        start = span.get("startTimeUnixNano", span.get("start_time"))
        # OTLP/JSON writes 64-bit numbers as strings; the SDK's are ISO times, which sort as text.
        yield name, {"trace": trace, "start": f"{start!s:0>20}", "attributes": attributes}


def parse(name: str, records: Sequence[Mapping[str, Any]]) -> list[Logged]:
    """The dialogues of one conversation or trace.

    Raises:
        InputError: naming the message's index and what is wrong there.
    """
    records = sorted(records, key=lambda record: str(record["start"]))
    asked = [record for record in records if MESSAGES[0] in record["attributes"]]
    if not asked:
        raise InputError(
            f"no messages: no span has {MESSAGES[0]}; switch the capture of contents on"
        )
    requests = [_request(record["attributes"]) for record in asked]
    chosen = whole_dialogues(requests)
    logged = []
    for number in chosen:
        attributes = asked[number]["attributes"]
        spans = [
            {**record, "attributes": {
                key: value for key, value in record["attributes"].items()
                if key not in (*MESSAGES, INSTRUCTIONS, TOOLS)
            }}
            for record in (records if len(chosen) == 1 else [asked[number]])
        ]  # fmt: skip
        tools = read_tools(_decoded(attributes.get(TOOLS)))
        logged.append(Logged(requests[number], name, tools, {"spans": spans}))
    return logged


def _request(attributes: Mapping[str, Any]) -> list[Event]:
    """What a span's model was shown, and its answer."""
    events = []
    if instructions := _decoded(attributes.get(INSTRUCTIONS)):
        text, note = read_text(0, instructions, "content")
        events.append(Event("system", 0, text, note=note))
    asked, answers = (objects(key, _decoded(attributes.get(key)) or []) for key in MESSAGES)
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


def _attributes(value: Any) -> dict[str, Any]:
    """Attributes by name, of OTLP's list of {key, value: {stringValue: ...}} or of an object."""
    if isinstance(value, dict):
        return value
    return {
        str(one.get("key")): _value(one.get("value")) for one in objects("attributes", value or [])
    }


def _value(value: Any) -> Any:
    match value:
        case {"arrayValue": dict(array)}:
            return [_value(one) for one in array.get("values", [])]
        case {"kvlistValue": dict(pairs)}:
            return _attributes(pairs.get("values", []))
        case dict() if len(value) == 1:
            return next(iter(value.values()))
        case _:
            return None


def _decoded(value: Any) -> Any:
    """Structured attributes of spans may be JSON strings."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: an attribute of messages ({error})") from error
