"""Policies that need no model: a score says something only beside theirs."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tft.core.conversation import Conversation, Message, ToolCall, parse_call, render_call
from tft.core.task import RESPOND

Policy = Callable[[Sequence[Message]], ToolCall]
"""From the messages before a turn to its call."""

# A question that states nothing contradicts nothing, and fits wherever an agent may still ask: the
# best that can be said without reading.
QUESTION = "Could you tell me more about what you would like?"


def policies(traces: Sequence[Conversation]) -> Mapping[str, Policy]:
    """The policies by name; `traces` are what the most frequent call is counted in."""
    frequent = most_frequent_call(traces)
    return {
        "always_respond": lambda prefix: ToolCall(RESPOND, {"message": QUESTION}),
        "most_frequent_call": lambda prefix: frequent,
        "copy_last_call": copy_last_call,
    }


def answer_turns(policy: Policy, tests: Sequence[Conversation]) -> list[dict[str, Any]]:
    """A policy's answers to every turn, as rows of `tables.PREDICTIONS` like those of a student."""
    answers = [
        (conversation.id, index, policy(conversation.messages[:index]))
        for conversation in tests
        for index, _ in conversation.turns()
    ]
    return [
        {
            "conversation": conversation,
            "turn": index,
            "raw": render_call(call),
            "name": call.name,
            "arguments": call.arguments_json,
            "error": None,
            "finish_reason": "stop",
        }
        for conversation, index, call in answers
    ]


def most_frequent_call(traces: Sequence[Conversation]) -> ToolCall:
    """The call that occurs most often, arguments included; of equals the alphabet's first."""
    counted = Counter(
        (call.name, call.arguments_json) for trace in traces for _, call in trace.turns()
    )
    return parse_call(*min(counted, key=lambda call: (-counted[call], call)))


def copy_last_call(prefix: Sequence[Message]) -> ToolCall:
    """What the assistant called last; before any call, the question of `always_respond`."""
    calls = [message.tool_call for message in prefix if message.tool_call is not None]
    return calls[-1] if calls else ToolCall(RESPOND, {"message": QUESTION})
