"""OpenAI chat messages: one dialogue a line, {"messages": [...], "tools": [...], "id": ...}.

The form is that of the chat completions API, as openai-python 3.57 types it: the roles system,
developer, user, assistant (text, refusal, function tools' `tool_calls`) and tool. Read besides,
because other senders write it: arguments as an object, and LangChain's calls {"name", "args",
"id"}. Refused are images, audio, custom tools, and `function_call` with the role function, which
the API had before tools.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tft.corpus.formats.events import (
    Event,
    Logged,
    objects,
    read_call,
    read_message,
    read_result,
    read_text,
)
from tft.errors import InputError

READ = {"role", "content", "tool_calls", "tool_call_id", "refusal", "reasoning_content"}
"""Keys of a message that become events; all others are kept beside."""


def parse(record: Mapping[str, Any]) -> Logged:
    """One line.

    Raises:
        InputError: naming the message's index and what is wrong there.
    """
    messages = objects("messages", record.get("messages"))
    more = {key: value for key, value in record.items() if key not in ("messages", "tools", "id")}
    if extras := extras_of(messages, READ):
        more["message_fields"] = extras
    return Logged(
        events_of(messages),
        None if record.get("id") is None else str(record["id"]),
        read_tools(record.get("tools")),
        more,
    )


def events_of(messages: list[Mapping[str, Any]]) -> list[Event]:
    """The events of a list of messages."""
    return [
        event
        for at, message in enumerate(messages)
        for event in read_message(at, str(message.get("role")), _events(at, message))
    ]


def _events(at: int, message: Mapping[str, Any]) -> Iterator[Event]:
    role = message.get("role")
    if message.get("function_call") or role == "function":
        raise InputError(f"old form: message {at}: function_call; log tool_calls and role tool")
    match role:
        case "system" | "developer":
            yield Event("system", at, *_text(at, message))
        case "user":
            yield Event("user", at, *_text(at, message))
        case "tool":
            yield read_result(at, message.get("content"), message.get("tool_call_id"))
        case "assistant":
            if thoughts := message.get("reasoning_content"):
                yield Event("reasoning", at, str(thoughts))
            yield from _said(at, message)
            for call in objects(f"message {at}: tool_calls", message.get("tool_calls") or []):
                yield _call(at, call)
        case _:
            raise InputError(f"unknown role: message {at}: {role!r:.40}")


def _text(at: int, message: Mapping[str, Any]) -> tuple[str, None, None, str]:
    text, note = read_text(at, message.get("content"))
    return text, None, None, note


def _said(at: int, message: Mapping[str, Any]) -> Iterator[Event]:
    content = message.get("content")
    if isinstance(content, list):  # a refusal may stand among the parts
        content = [
            {"type": "text", "text": part["refusal"]}
            if isinstance(part, dict) and part.get("type") == "refusal" and "refusal" in part
            else part
            for part in content
        ]
    text, note = read_text(at, content)
    if text:
        yield Event("text", at, text, note=note)
    if refusal := message.get("refusal"):
        yield Event("text", at, str(refusal), note="refusal as text")


def _call(at: int, call: Mapping[str, Any]) -> Event:
    match call:
        case {"function": {"name": name} as function}:
            return read_call(at, name, function.get("arguments"), call.get("id"))
        case {"name": name, "args": arguments}:
            return read_call(at, name, arguments, call.get("id"))
        case _:
            raise InputError(f"no tool call: message {at}: {call!r:.120}")


def extras_of(messages: list[Mapping[str, Any]], read: set[str]) -> dict[str, dict[str, Any]]:
    """By a message's index, the fields that are not read."""
    found = {
        str(at): {k: v for k, v in message.items() if k not in read and v not in (None, [], {})}
        for at, message in enumerate(messages)
    }
    return {at: fields for at, fields in found.items() if fields}


def read_tools(tools: Any) -> dict[str, Any] | None:
    """Schemas by name of a `tools` list, flat entries included; None where there is none."""
    if not tools:
        return None
    functions = [tool.get("function", tool) for tool in objects("tools", tools)]
    return {
        str(function.get("name")): function.get("parameters", function.get("input_schema"))
        for function in objects("tools", functions)
    }
