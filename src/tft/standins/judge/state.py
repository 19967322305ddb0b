"""What a conversation has established before a message: things, results, and outcomes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from tft.core.conversation import Message, ToolCall, result_items
from tft.core.task import RESPOND, Task
from tft.standins.reading.facts import find_words

TRANSACTION = re.compile(
    r"(reserve|book|buy|purchase|order|schedule|make|transfer|pay|send|add|rent|create|cancel)",
    re.IGNORECASE,
)
NAME_KEY = re.compile(r"(^|_)(name|title)$")
Item = dict[str, str]


class Fault(NamedTuple):
    """What is wrong with a message: a label with an explanation, and the fact it contradicts."""

    reason: str
    evidence: str


@dataclass
class State:
    """What the conversation has established before the message.

    Attributes:
        dialogue: What user and agent said.
        log: Everything said, passed to a service, or returned by it, in order.
        calls: The service calls.
        things: The items of tool results, by name.
        results: The items of each result.
        fresh: The items of the result that the message answers; None if it answers the user.
        heard: The user message that it answers; empty if it answers a result.
        outcome: The outcome of the latest transaction. "changed" means that something was booked or
            offered, but not as requested.
        subject: The name of the thing mentioned last.
    """

    dialogue: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    things: dict[str, Item] = field(default_factory=dict)
    results: list[list[Item]] = field(default_factory=list)
    fresh: list[Item] | None = None
    heard: str = ""
    outcome: Literal["none", "done", "failed", "changed"] = "none"
    subject: str | None = None


def read_state(prefix: Sequence[Message], task: Task) -> State:
    """The state after `prefix`, in which a user message after a service call is its result."""
    state = State()
    pending: ToolCall | None = None
    for message in prefix:
        state.fresh, state.heard = None, ""
        call = message.tool_call
        if call is not None and call.name != RESPOND:
            state.calls.append(call)
            _note(state, " ; ".join(map(str, call.arguments.values())))
        elif call is not None or pending is None:
            text = str(message.content)
            if call is not None:
                text = " ".join(map(str, call.arguments.values()))
            else:
                state.heard = text
            state.dialogue.append(text)
            _note(state, text)
        else:
            _add_result(state, pending, str(message.content), task)
        pending = call if call is not None and call.name != RESPOND else None
    return state


def _note(state: State, text: str) -> None:
    state.log.append(text)
    for name in state.things:
        if find_words(name, text) is not None:
            state.subject = name


def _add_result(state: State, call: ToolCall, content: str, task: Task) -> None:
    result = result_items(content)
    if result is None:
        return
    items = [{key: str(field) for key, field in item.items()} for item in result]
    state.fresh = items
    state.results.append(items)
    state.log.append(" ; ".join(value for item in items for value in item.values()))
    for item in items:
        name = next((value for key, value in item.items() if NAME_KEY.search(key)), None)
        if name is not None:
            state.things[name] = state.things.get(name, {}) | item
    if is_transaction(call.name, task):
        requested = {key: str(value) for key, value in call.arguments.items()}
        if not items:
            state.outcome = "failed"
        elif any(_moved(value, items[0].get(key, value)) for key, value in requested.items()):
            state.outcome = "changed"
        else:
            state.outcome = "done"


def _moved(requested: str, returned: str) -> bool:
    # Services change times, dates, and amounts; a different name is only another spelling.
    return requested != returned and any(letter.isdigit() for letter in requested + returned)


def is_transaction(name: str, task: Task) -> bool:
    """Whether a tool changes something, by the first verb of its name or description."""
    tool = task.tool(name)
    return bool(TRANSACTION.match(name) or (tool and TRANSACTION.match(tool.description)))


def subjects(message: str, state: State) -> list[Item]:
    """The things a message may be about: those it names, a new result's, or the last subject."""
    named = [thing for name, thing in state.things.items() if find_words(name, message) is not None]
    if named:
        return named
    if state.fresh:
        return state.fresh
    return [state.things[state.subject]] if state.subject else []
