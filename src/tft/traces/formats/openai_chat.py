"""OpenAI chat messages: one dialogue a line, {"messages": [...], "tools": [...], "id": ...}.

The form is that of the chat completions API, as openai-python 3.57 types it: the roles system,
developer, user, assistant (text, refusal, function tools' `tool_calls`) and tool. Read besides,
because other senders write it: arguments as an object, and LangChain's calls {"name", "args",
"id"}. Refused are images, audio, custom tools, and `function_call` with the role function, which
the API had before tools.
"""

from collections.abc import Iterator, Mapping
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
from tft.traces.formats.unread import Read, unread


def parse(record: Mapping[str, Any]) -> Logged:
    """One line.

    Raises:
        InputError: naming the message's index and what is wrong there.
    """
    return Logged(
        events_of(objects("messages", record.get("messages"))),
        None if record.get("id") is None else str(record["id"]),
        read_tools(record.get("tools")),
        dict(unread(record, READ)),
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


def read_tools(tools: Any) -> list[dict[str, Any]] | None:
    """Those of a `tools` list, flat entries included; None where there is none."""
    if not tools:
        return None
    functions = [tool.get("function", tool) for tool in objects("tools", tools)]
    return [
        {
            "name": str(function.get("name")),
            "description": function.get("description"),
            "parameters": function.get("parameters", function.get("input_schema")),
        }
        for function in objects("tools", functions)
    ]


def message_read(message: Mapping[str, Any]) -> Read:
    """What `events_of` reads of a message."""
    match message.get("role"):
        case "tool":
            return {"role": True, "content": result_read, "tool_call_id": True}
        case "assistant":
            return {
                "role": True, "content": [_part_read], "tool_calls": [_call_read],
                "refusal": True, "reasoning_content": True,
            }  # fmt: skip
        case _:
            return {"role": True, "content": [_part_read]}


def _part_read(part: Mapping[str, Any]) -> Read:
    return {"type": True, str(part.get("type")): True}  # text or refusal


def _call_read(call: Mapping[str, Any]) -> Read:
    if isinstance(call.get("function"), dict):
        return {"id": True, "type": True, "function": {"name": True, "arguments": True}}
    return {"id": True, "type": True, "name": True, "args": True}


def tool_read(tool: Mapping[str, Any]) -> Read:
    """What `read_tools` reads of a tool."""
    function = tool.get("function", tool)
    schema = "parameters" if "parameters" in function else "input_schema"
    read: dict[str, Read] = {"name": True, "description": True, schema: True}
    return {"type": True, **({"function": read} if "function" in tool else read)}


MESSAGES: Read = [message_read]
READ: Read = {"messages": MESSAGES, "tools": [tool_read], "id": True}
"""What `parse` reads of a line."""
