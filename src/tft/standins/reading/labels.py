"""The committee of rules: three labeling functions with different evidence, and their vote.

- hindsight: what follows a call says what the call was. A tool's result follows only the call of a
  service, and its fields say of which and with which arguments.
- state: what the conversation holds so far supports some calls and some arguments.
- schema: the call as it was logged, read as the declared tool that its name and arguments fit.

Each gives whole calls or says nothing. None sees more than the traces, the task and its tools.
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

USUAL = 0.5  # an optional parameter that most calls of a tool give is expected in every call
AGREE = 0.6  # share of a logged call's arguments that must not be contradicted for it to stand

Labels = dict[int, Label]
"""By message index; a turn that a member knows nothing about is left out."""


def by_schema(one: Conversation, evidence: Evidence) -> Labels:
    """The logged calls under declared names."""
    labels = {}
    for index, call in one.turns():
        known = evidence.task.tool(call.name)
        arguments = evidence.declared(call.arguments)
        tool = evidence.tool_of_arguments(arguments)
        if tool and required(tool) <= set(arguments) <= set(parameters(tool)):
            labels[index] = Label(tool.name, arguments)
        elif known and known.name == RESPOND:
            labels[index] = Label(RESPOND, dict(call.arguments))
        elif talk := _speech(call, evidence.task):
            labels[index] = talk
    return labels


def _speech(call: ToolCall, task: Task) -> Label | None:
    """A call that holds one piece of text and nothing else is talk, whatever its name."""
    tool = task.tool(RESPOND)
    texts = list(call.arguments.values())
    if tool is None or len(texts) != 1 or not isinstance(texts[0], str):
        return None
    return Label(RESPOND, dict.fromkeys(required(tool) or parameters(tool), texts[0]))


def by_hindsight(one: Conversation, evidence: Evidence) -> Labels:
    """What the next message proves; an empty result proves that a service was called, not which."""
    labels = {}
    for index, _ in one.turns():
        items = followed_by(one, index)
        if items is None:
            labels[index] = Label(RESPOND, {})
        elif tool := evidence.tool_of_result(items):
            echoed = [evidence.declared(item) for item in items]
            shared = {
                name: value
                for name, value in echoed[0].items()
                if name in parameters(tool) and all(other.get(name) == value for other in echoed)
            }
            labels[index] = Label(tool.name, shared)
        else:
            labels[index] = Label(SERVICE, {})
    return labels


def by_state(one: Conversation, evidence: Evidence) -> Labels:
    """What was said before each turn supports: the service with the most parameters spoken of."""
    labels = {}
    for index, _ in one.turns():
        best = Label(SERVICE, {})
        for tool in services(evidence.task):
            arguments = {
                name: value
                for name in parameters(tool)
                if (value := evidence.spoken_last(name, one, index)) is not None
            }
            if required(tool) <= set(arguments) and len(arguments) > len(best.arguments):
                best = Label(tool.name, arguments)
        if best.tool != SERVICE:
            labels[index] = best
    return labels


class Vote(NamedTuple):
    """What became of one turn: tool and call (None: not to be known), and who said what."""

    tool: str | None
    call: ToolCall | None
    votes: dict[str, Label | None]
    reason: str


def vote(one: Conversation, evidence: Evidence) -> dict[int, Vote]:
    """Decide every turn of a conversation.

    Hindsight outweighs the other two on the tool, because it is no guess: a result is there or not.
    A logged call stands unless its arguments contradict both the result and what was said.
    """
    ballots = {name: member(one, evidence) for name, member in MEMBERS.items()}
    decided = {}
    for index, call in one.turns():
        votes = {name: labels.get(index) for name, labels in ballots.items()}
        decided[index] = _decide(one, index, call, votes, evidence)
    return decided


def _decide(
    one: Conversation,
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
    if schema and schema.tool == tool and _stands(logged, echoed, one, index, evidence):
        same = tool == call.name and logged == call.arguments
        reason = "as logged" if same else "as logged, under its declared names"
        return Vote(tool, ToolCall(tool, logged), votes, reason)
    declared = evidence.task.tool(tool)
    assert declared is not None
    arguments = _rebuilt(declared, echoed, one, index, evidence)
    if missing := required(declared) - set(arguments):
        return Vote(tool, None, votes, f"nothing tells {', '.join(sorted(missing))} of {tool}")
    return Vote(
        tool, ToolCall(tool, arguments), votes, "arguments from the result and from what was said"
    )


def _stands(
    logged: dict[str, Any],
    echoed: dict[str, Any],
    one: Conversation,
    index: int,
    evidence: Evidence,
) -> bool:
    """Whether a logged call's arguments may be right."""
    unsupported = 0
    for name, value in logged.items():
        if name in echoed and similar(str(echoed[name]), str(value)):
            continue
        if evidence.spoken_of(name, value, one, index):
            continue
        if name in echoed:
            return False
        unsupported += 1
    return unsupported <= (1 - AGREE) * len(logged)


def _rebuilt(
    tool: Tool, echoed: dict[str, Any], one: Conversation, index: int, evidence: Evidence
) -> dict[str, Any]:
    """The arguments that result and conversation tell, the result first.

    A time in the result that nobody spoke of gives way to one that was (a service may book the next
    free table). Optional parameters only where they are usual or spoken of.
    """
    arguments = {}
    for name in parameters(tool):
        value = echoed.get(name)
        expected = name in required(tool) or evidence.usual.get((tool.name, name), 0) >= USUAL
        if not expected and (value is None or not evidence.asked_for(name, value, one, index)):
            continue
        heard = evidence.spoken_last(name, one, index)
        moved = (
            heard is not None
            and evidence.is_clock(name)
            and not evidence.spoken_of(name, value, one, index)
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
