"""Conversations as others would have logged them: the way there, whose way back the importer is."""

import itertools
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from strategies import json_values, names, texts

from tft.core.conversation import Conversation, Message, ToolCall, assistant, user
from tft.core.task import RESPOND

Record = dict[str, Any]


def _say(text: str) -> Message:
    return assistant(RESPOND, {"message": text})


_words = texts.filter(str.strip)
_calls = st.builds(
    lambda call: Message("assistant", tool_call=call),
    st.builds(
        ToolCall, names.filter(lambda name: name != RESPOND),
        st.dictionaries(texts, json_values, max_size=3),
    ),
)  # fmt: skip
_said = st.tuples(st.builds(_say, _words), st.builds(user, texts))
_served = st.tuples(_calls, st.builds(user, texts))

dialogues = st.builds(
    lambda first, pairs, last: (first, *itertools.chain.from_iterable(pairs), last),
    st.builds(user, texts),
    st.lists(_said | _served, max_size=5),
    st.builds(_say, _words) | _calls,
)
"""What a whole conversation of an agent can look like; it ends with the agent."""


def groups(messages: Sequence[Message], parallel: bool) -> list[list[Message]]:
    """User messages one by one; the agent's calls, in parallel if wanted, with their results."""
    found: list[list[Message]] = []
    at = 0
    while at < len(messages):
        served = is_served(messages, at)
        size = 2 if served else 1
        if parallel and served and found and len(found[-1]) > 1:
            found[-1] += messages[at : at + size]
        else:
            found.append(list(messages[at : at + size]))
        at += size
    return found


def is_served(messages: Sequence[Message], at: int) -> bool:
    """Whether a service call with its result stands there."""
    call = messages[at].tool_call
    return call is not None and call.name != RESPOND and at + 1 < len(messages)


def openai_messages(messages: Sequence[Message], parallel: bool = False) -> list[Record]:
    result: list[Record] = []
    ids = itertools.count()
    for group in groups(messages, parallel):
        calls = [one.tool_call for one in group if one.tool_call]
        if not calls:
            result.append({"role": "user", "content": group[0].content})
        elif calls[0].name == RESPOND:
            result.append({"role": "assistant", "content": calls[0].arguments["message"]})
        else:
            keys = [f"call_{next(ids)}" for _ in calls]
            entries = [
                {"id": key, "type": "function",
                 "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
                for key, call in zip(keys, calls, strict=True)
            ]  # fmt: skip
            result.append({"role": "assistant", "content": None, "tool_calls": entries})
            answers = [
                {"role": "tool", "tool_call_id": key, "content": one.content}
                for key, one in zip(keys, group[1::2], strict=False)
            ]
            result += reversed(answers)  # ids say whose they are, not the order
    return result


def openai(one: Conversation, parallel: bool = False) -> list[Record]:
    return [{"id": one.id, "messages": openai_messages(one.messages, parallel)}]


def published(one: Conversation) -> list[Record]:
    rows = [
        {"role": "user", "content": message.content}
        if message.tool_call is None
        else {"role": "assistant", "tool_calls": [{"function": {
            "name": message.tool_call.name, "arguments": json.dumps(message.tool_call.arguments)}}]}
        for message in one.messages
    ]  # fmt: skip
    return [{"context": json.dumps({"messages": rows})}]


def anthropic(one: Conversation, parallel: bool = False) -> list[Record]:
    result: list[Record] = []
    for message in openai_messages(one.messages, parallel):
        if message["role"] == "tool":
            block = {"type": "tool_result", "tool_use_id": message["tool_call_id"],
                     "content": message["content"]}  # fmt: skip
            if result[-1]["role"] == "user" and isinstance(result[-1]["content"], list):
                result[-1]["content"].append(block)
            else:
                result.append({"role": "user", "content": [block]})
        elif calls := message.get("tool_calls"):
            blocks = [
                {"type": "tool_use", "id": call["id"], "name": call["function"]["name"],
                 "input": json.loads(call["function"]["arguments"])}
                for call in calls
            ]  # fmt: skip
            result.append({"role": "assistant", "content": blocks})
        else:
            result.append(message)
    return [{"id": one.id, "system": "Be kind.", "messages": result}]


def _requests(messages: list[Record]) -> list[tuple[list[Record], Record]]:
    """(all messages before, answer) of every request to the model."""
    return [
        (messages[:at], message)
        for at, message in enumerate(messages)
        if message["role"] == "assistant"
    ]


def langfuse(one: Conversation, parallel: bool = False) -> list[Record]:
    trace: Record = {"id": f"{one.id}/root", "traceId": one.id, "type": "SPAN", "input": "x"}
    return [trace] + [
        {"id": f"{one.id}/{at}", "traceId": one.id, "type": "GENERATION", "model": "m",
         "startTime": f"2026-03-01T10:00:{at:02}.000Z", "input": asked, "output": answer}
        for at, (asked, answer) in enumerate(_requests(openai_messages(one.messages, parallel)))
    ]  # fmt: skip


def otel_message(message: Record) -> Record:
    if message["role"] == "tool":
        part = {"type": "tool_call_response", "id": message["tool_call_id"],
                "response": message["content"]}  # fmt: skip
        return {"role": "tool", "parts": [part]}
    if calls := message.get("tool_calls"):
        return {"role": "assistant", "parts": [
            {"type": "tool_call", "id": call["id"], "name": call["function"]["name"],
             "arguments": json.loads(call["function"]["arguments"])}
            for call in calls
        ]}  # fmt: skip
    part = {"type": "text", "content": message["content"]}
    return {"role": message["role"], "parts": [part]}


def otel(one: Conversation, parallel: bool = False) -> list[Record]:
    """One OTLP export a span, each with a span of something else beside it."""
    messages = [otel_message(row) for row in openai_messages(one.messages, parallel)]
    exports = []
    for at, (asked, answer) in enumerate(_requests(messages)):
        values = {
            "gen_ai.operation.name": "chat",
            "gen_ai.input.messages": json.dumps(asked),
            "gen_ai.output.messages": json.dumps([answer | {"finish_reason": "stop"}]),
        }
        chat = {
            "traceId": one.id, "spanId": str(at), "startTimeUnixNano": str(10**18 + at),
            "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in values.items()],
        }  # fmt: skip
        other = {"traceId": one.id, "name": "GET /", "attributes": []}
        exports.append({"resourceSpans": [{"scopeSpans": [{"spans": [other, chat]}]}]})
    return exports


def lines(records: Sequence[Record]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)
