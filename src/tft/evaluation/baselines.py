"""Policies that need no model: a score says something only beside theirs."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tft.conversation import Conversation, Message, ToolCall, parse_call
from tft.task import RESPOND

Policy = Callable[[Sequence[Message]], ToolCall]
"""From the messages before a turn to its call."""

# A question that states nothing contradicts nothing, and fits wherever an agent may still ask: the
# best that can be said without reading.
QUESTION = "Could you tell me more about what you would like?"


def baselines(traces: Sequence[Conversation]) -> Mapping[str, Policy]:
    """The policies by the names of their cells; `traces` are what calls are counted in."""
    frequent = most_frequent_call(traces)
    return {
        "always_respond": lambda prefix: ToolCall(RESPOND, {"message": QUESTION}),
        "most_frequent_call": lambda prefix: frequent,
        "copy_last_call": copy_last_call,
    }


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
