"""Baseline policies that need no model, beside which the students' scores are read."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tft.core.conversation import Conversation, Message, ToolCall, parse_call, render_call
from tft.core.task import RESPOND

Policy = Callable[[Sequence[Message]], ToolCall]
"""Maps the messages before a turn to a call."""

# The best message that does not depend on the conversation: a question that states nothing
# contradicts nothing, and it fits wherever an agent may still ask.
QUESTION = "Could you tell me more about what you would like?"


def policies(traces: Sequence[Conversation]) -> Mapping[str, Policy]:
    """The policies by name; the most frequent call is counted in `traces`."""
    frequent = most_frequent_call(traces)
    return {
        "always_respond": lambda prefix: ToolCall(RESPOND, {"message": QUESTION}),
        "most_frequent_call": lambda prefix: frequent,
        "copy_last_call": copy_last_call,
    }


def answer_turns(policy: Policy, tests: Sequence[Conversation]) -> list[dict[str, Any]]:
    """A policy's answers to every turn, as rows of `tables.PREDICTIONS`."""
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
    """The most frequent call, counted with its arguments; ties go to the first alphabetically."""
    counted = Counter(
        (call.name, call.arguments_json) for trace in traces for _, call in trace.turns()
    )
    return parse_call(*min(counted, key=lambda call: (-counted[call], call)))


def copy_last_call(prefix: Sequence[Message]) -> ToolCall:
    """The assistant's last call; before the first call, the question of `always_respond`."""
    calls = [message.tool_call for message in prefix if message.tool_call is not None]
    return calls[-1] if calls else ToolCall(RESPOND, {"message": QUESTION})
