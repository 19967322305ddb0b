"""The committee of rules: three labeling functions that use different evidence, and their vote.

- hindsight: the message after a call shows what the call was. Only a service call is followed by a
  result, and the result's fields show which service was called and with which arguments.
- state: what has been said so far supports some calls and arguments.
- schema: the logged call, read as the declared tool that its name and arguments fit.

Each labels a whole call or abstains. None sees more than the traces, the task, and its tools.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from tft.core.conversation import Conversation, Tool, ToolCall
from tft.core.records import SERVICE, Label
from tft.core.task import RESPOND, Task
from tft.standins.reading.evidence import (
    Evidence,
    followed_by,
    parameters,
    required,
    services,
)
from tft.standins.reading.facts import similar

USUAL = 0.5  # an optional parameter in at least this share of a tool's calls is always expected
AGREE = 0.6  # the share of a logged call's arguments that must be supported for it to be kept

Labels = dict[int, Label]
"""Labels by message index, without turns on which the labeling function abstains."""


def by_schema(conversation: Conversation, evidence: Evidence) -> Labels:
    """Label turns by the logged calls, under declared names."""
    labels = {}
    for index, call in conversation.turns():
        declared = evidence.task.tool(call.name)
        arguments = evidence.declared(call.arguments)
        tool = evidence.tool_of_arguments(arguments)
        if tool and required(tool) <= set(arguments) <= set(parameters(tool)):
            labels[index] = Label(tool.name, arguments)
        elif declared and declared.name == RESPOND:
            labels[index] = Label(RESPOND, dict(call.arguments))
        elif talk := _speech(call, evidence.task):
            labels[index] = talk
    return labels


def _speech(call: ToolCall, task: Task) -> Label | None:
    """The label of a call whose only argument is a text, which is talk whatever its name."""
    tool = task.tool(RESPOND)
    texts = list(call.arguments.values())
    if tool is None or len(texts) != 1 or not isinstance(texts[0], str):
        return None
    return Label(RESPOND, dict.fromkeys(required(tool) or parameters(tool), texts[0]))


def by_hindsight(conversation: Conversation, evidence: Evidence) -> Labels:
    """Label turns by the next message; an empty result only shows that a service was called."""
    labels = {}
    for index, _ in conversation.turns():
        items = followed_by(conversation, index)
        if items is None:
            labels[index] = Label(RESPOND, {})
        elif tool := evidence.tool_of_result(items):
            echoed = [evidence.declared(item) for item in items]
            shared = {
                name: value
                for name, value in echoed[0].items()
                if name in parameters(tool) and all(item.get(name) == value for item in echoed)
            }
            labels[index] = Label(tool.name, shared)
        else:
            labels[index] = Label(SERVICE, {})
    return labels


def by_state(conversation: Conversation, evidence: Evidence) -> Labels:
    """Label turns by what was said before: the service with the most parameters mentioned."""
    labels = {}
    for index, _ in conversation.turns():
        best = Label(SERVICE, {})
        for tool in services(evidence.task):
            arguments = {
                name: value
                for name in parameters(tool)
                if (value := evidence.spoken_last(name, conversation, index)) is not None
            }
            if required(tool) <= set(arguments) and len(arguments) > len(best.arguments):
                best = Label(tool.name, arguments)
        if best.tool != SERVICE:
            labels[index] = best
    return labels


class Vote(NamedTuple):
    """The decision on one turn: tool and call, each None if it cannot be decided, and the votes."""

    tool: str | None
    call: ToolCall | None
    votes: dict[str, Label | None]
    reason: str


def vote(conversation: Conversation, evidence: Evidence) -> dict[int, Vote]:
    """Decide every turn of a conversation.

    On the tool, hindsight outweighs the other two, because whether a result follows is no guess. A
    logged call is kept unless its arguments contradict both the result and what was said.
    """
    ballots = {name: member(conversation, evidence) for name, member in MEMBERS.items()}
    decided = {}
    for index, call in conversation.turns():
        votes = {name: labels.get(index) for name, labels in ballots.items()}
        decided[index] = _decide(conversation, index, call, votes, evidence)
    return decided


def _decide(
    conversation: Conversation,
    index: int,
    call: ToolCall,
    votes: dict[str, Label | None],
    evidence: Evidence,
) -> Vote:
    hindsight, schema, state = votes["hindsight"], votes["schema"], votes["state"]
    assert hindsight is not None
    logged = schema.arguments if schema else {}
    if hindsight.tool == RESPOND:
        if schema and schema.tool == RESPOND:
            return Vote(RESPOND, ToolCall(RESPOND, logged), votes, "talk, as logged")
        return Vote(RESPOND, None, votes, "talk, and what was said is lost")
    tool = hindsight.tool
    if tool == SERVICE:
        named = [label.tool for label in (schema, state) if label and label.tool != RESPOND]
        if not named:
            return Vote(
                None, None, votes, "a service with an empty result, and nothing tells which"
            )
        tool = named[0]
    echoed = hindsight.arguments
    if schema and schema.tool == tool and _stands(logged, echoed, conversation, index, evidence):
        unchanged = tool == call.name and logged == call.arguments
        reason = "as logged" if unchanged else "as logged, under its declared names"
        return Vote(tool, ToolCall(tool, logged), votes, reason)
    declared = evidence.task.tool(tool)
    assert declared is not None
    arguments = _rebuilt(declared, echoed, conversation, index, evidence)
    if missing := required(declared) - set(arguments):
        return Vote(tool, None, votes, f"nothing tells {', '.join(sorted(missing))} of {tool}")
    return Vote(
        tool, ToolCall(tool, arguments), votes, "arguments from the result and from what was said"
    )


def _stands(
    logged: dict[str, Any],
    echoed: dict[str, Any],
    conversation: Conversation,
    index: int,
    evidence: Evidence,
) -> bool:
    """Whether the arguments of a logged call may be right."""
    unsupported = 0
    for name, value in logged.items():
        if name in echoed and similar(str(echoed[name]), str(value)):
            continue
        if evidence.spoken_of(name, value, conversation, index):
            continue
        if name in echoed:
            return False
        unsupported += 1
    return unsupported <= (1 - AGREE) * len(logged)


def _rebuilt(
    tool: Tool, echoed: dict[str, Any], conversation: Conversation, index: int, evidence: Evidence
) -> dict[str, Any]:
    """The arguments according to the result and, second, the conversation.

    A time that somebody mentioned replaces a time in the result that nobody mentioned, because a
    service may book the next free table. Optional parameters are included only if they are usual or
    were mentioned.
    """
    arguments = {}
    for name in parameters(tool):
        value = echoed.get(name)
        expected = name in required(tool) or evidence.usual.get((tool.name, name), 0) >= USUAL
        if not expected and (
            value is None or not evidence.asked_for(name, value, conversation, index)
        ):
            continue
        heard = evidence.spoken_last(name, conversation, index)
        moved = (
            heard is not None
            and evidence.is_clock(name)
            and not evidence.spoken_of(name, value, conversation, index)
        )
        if value is None or moved:
            value = heard
        if value is not None:
            arguments[name] = value
    return arguments


MEMBERS: dict[str, Callable[[Conversation, Evidence], Labels]] = {
    "hindsight": by_hindsight,
    "state": by_state,
    "schema": by_schema,
}
