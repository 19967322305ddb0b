"""Anthropic messages: one dialogue a line, {"system": ..., "messages": [...], "tools": [...]}.

The form is that of the Messages API (version 2023-06-01), as anthropic-sdk-python 2.14 types it.
Blocks read: text, tool_use, tool_result, thinking. Refused are images, documents and what
Anthropic's own server tools did.
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
from tft.traces.formats.openai_chat import read_tools, tool_read
from tft.traces.formats.unread import Read, unread


def parse(record: Mapping[str, Any]) -> Logged:
    """One line.

    Raises:
        InputError: naming the message's index and what is wrong there.
    """
    messages = objects("messages", record.get("messages"))
    events = [
        event
        for at, message in enumerate(messages)
        for event in read_message(at, str(message.get("role")), _message(at, message))
    ]
    if system := record.get("system"):
        text, note = read_text(0, system)
        events.insert(0, Event("system", 0, text, note=note))
    return Logged(
        events,
        None if record.get("id") is None else str(record["id"]),
        read_tools(record.get("tools")),
        dict(unread(record, READ)),
    )


def _message(at: int, message: Mapping[str, Any]) -> Iterator[Event]:
    role, content = message.get("role"), message.get("content")
    if role not in ("user", "assistant", "system"):
        raise InputError(f"unknown role: message {at}: {role!r:.40}")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    texts: list[Any] = []
    for block in objects(f"message {at}: content", blocks):
        if block.get("type") == "text":
            texts.append(block)
            continue
        yield from _text(at, role, texts)
        texts = []
        yield _block(at, role, block)
    yield from _text(at, role, texts)


def _text(at: int, role: str, blocks: list[Any]) -> Iterator[Event]:
    text, note = read_text(at, blocks)
    match role:
        case "user" if blocks:
            yield Event("user", at, text, note=note)
        case "assistant" if text:
            yield Event("text", at, text, note=note)
        case "system" if text:
            yield Event("system", at, text, note=note)


def _block(at: int, role: str, block: Mapping[str, Any]) -> Event:
    match role, block.get("type"):
        case "assistant", "tool_use":
            return read_call(at, block.get("name"), block.get("input"), block.get("id"))
        case "assistant", "thinking" | "redacted_thinking":
            return Event("reasoning", at, str(block.get("thinking", block.get("data"))))
        case "user", "tool_result":
            result = read_result(at, block.get("content"), block.get("tool_use_id"))
            return (
                result._replace(note="result marked as error") if block.get("is_error") else result
            )
        case _, kind:
            raise InputError(f"not text: message {at} of {role} holds a block of type {kind!r:.40}")


TEXT: Read = {"type": True, "text": True}


def _block_read(block: Mapping[str, Any]) -> Read:
    match block.get("type"):
        case "tool_use":
            return {"type": True, "id": True, "name": True, "input": True}
        case "tool_result":
            return {"type": True, "tool_use_id": True, "content": result_read, "is_error": True}
        case "thinking" | "redacted_thinking":
            return {"type": True, "thinking" if "thinking" in block else "data": True}
        case _:
            return TEXT


READ: Read = {
    "system": [TEXT],
    "messages": [{"role": True, "content": [_block_read]}],
    "tools": [tool_read],
    "id": True,
}
"""What `parse` reads of a line."""
