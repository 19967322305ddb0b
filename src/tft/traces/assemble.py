"""From the events of a logged dialogue to a conversation with one tool call per assistant message.

- Plain text becomes a call of `respond_to_user`. Consecutive texts become one.
- A tool result becomes the next user message, word for word, because what a server shows the
  student for the role `tool` must be what it was trained on.
- Parallel calls become consecutive calls, each with its result, matched by id. Logs without tool
  results (the published ones give them as user messages) keep consecutive calls.
- Text beside a call, system messages, and reasoning have no place in a conversation. They go into
  its provenance, with the index of the message at which they occurred.
"""

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tft.core.conversation import Message, ToolCall, user
from tft.core.errors import InputError
from tft.core.task import RESPOND, Task
from tft.traces.formats.events import Event, Logged
from tft.traces.talk import TALK

SPLIT = "parallel calls in a row"


class Assembled(NamedTuple):
    """Messages, what else was logged, and counts of what is represented differently from the log.

    A note reads "kind" or "kind: what". `SPLIT` is one of them.
    """

    messages: tuple[Message, ...]
    provenance: dict[str, Any]
    notes: Counter[str]


def assemble(logged: Logged, task: Task) -> Assembled:
    """The conversation in a logged dialogue.

    Args:
        logged: One dialogue.
        task: The task, with `respond_to_user` among its tools.

    Raises:
        InputError: the events are in an order that no conversation can have; says
            "kind: message and details".
    """
    built = _Builder(task, any(event.kind == "result" for event in logged.events))
    for role, group in itertools.groupby(logged.events, key=_side):
        events = list(group)
        match role:
            case "assistant":
                built.assistant(events)
            case "result":
                built.results(events)
            case "user":
                built.user(events)
            case "system":
                built.system(events)
    messages = built.finish()
    if logged.tools is not None and (note := _difference(logged.tools, task)):
        built.notes[note] += 1
        built.kept["tools"] = logged.tools
    for event in logged.events:
        if event.note:
            built.notes[event.note] += 1
    return Assembled(messages, dict(built.kept), built.notes)


def _difference(tools: Sequence[Mapping[str, Any]], task: Task) -> str | None:
    """How the tools of a log differ from the task's, which students are shown, or None."""
    declared = {tool.name: tool for tool in task.tools if tool != TALK}
    schemas = {tool["name"]: tool["parameters"] for tool in tools}
    if len(schemas) < len(tools) or schemas != {
        name: tool.parameters for name, tool in declared.items()
    }:
        return "other tools than in the job description"
    if any(tool["description"] not in (None, declared[tool["name"]].description) for tool in tools):
        return "tools described otherwise than in the job description"
    return None


def _side(event: Event) -> str:
    return "assistant" if event.kind in ("text", "reasoning", "call") else event.kind


class _Builder:
    """A conversation under construction: the messages so far, and calls still awaiting results."""

    def __init__(self, task: Task, has_results: bool) -> None:
        self.task = task
        self.has_results = has_results
        talk = task.tool(RESPOND)
        assert talk is not None
        self.argument = next(iter(talk.parameters.get("properties", {})), "message")
        self.messages: list[Message] = []
        self.open: list[Event] = []
        self.answers: dict[int, Event] = {}
        self.kept: defaultdict[str, Any] = defaultdict(dict)
        self.notes: Counter[str] = Counter()

    def assistant(self, events: Sequence[Event]) -> None:
        """Add all consecutive texts, reasoning, and calls of the assistant."""
        self._close()
        calls = [event for event in events if event.kind == "call"]
        texts = [event for event in events if event.kind == "text"]
        position = str(len(self.messages))
        if thoughts := [event.text for event in events if event.kind == "reasoning"]:
            self.kept["reasoning"][position] = "\n".join(thoughts)
            self.notes["reasoning, kept beside"] += 1
        if not calls:
            self._say(events, "\n".join(event.text for event in texts))
            if len(texts) > 1:
                self.kept["joined"][position] = [event.text for event in texts]
                self.notes["texts in a row, joined"] += 1
            return
        for text in texts:
            if text.at > calls[0].at:
                raise InputError(
                    f"call without result: message {text.at} speaks before "
                    f"{_name(calls[0])!r} of message {calls[0].at} returned"
                )
        if texts:
            self.kept["beside"][position] = "\n".join(event.text for event in texts)
            self.notes["text beside a call, kept beside"] += 1
        if len(calls) > 1 and self.has_results:
            self.notes[SPLIT] += len(calls) - 1
        for event in calls:
            if not self.task.tool(_name(event)):
                self.notes[f"undeclared tool: {_name(event)}"] += 1
        self.open = calls

    def _say(self, events: Sequence[Event], text: str) -> None:
        if not text.strip():
            raise InputError(f"empty message: message {events[0].at} has neither text nor call")
        self._add(Message("assistant", tool_call=ToolCall(RESPOND, {self.argument: text})))
        self.notes[f"plain text as {RESPOND}"] += 1

    def results(self, events: Sequence[Event]) -> None:
        """Assign results to the open calls, by id or, without ids, in order."""
        if None in {event.id for event in (*events, *self.open)} and len(events) != len(self.open):
            raise InputError(
                f"orphan result: message {events[0].at}: {len(events)} results without ids for "
                f"{len(self.open)} calls"
            )
        for event in events:
            number = next(
                (
                    number
                    for number, call in enumerate(self.open)
                    if number not in self.answers
                    and (None in (event.id, call.id) or event.id == call.id)
                ),
                None,
            )
            if number is None:
                raise InputError(
                    f"orphan result: message {event.at}: no call before it waits for {event.id!r}"
                )
            self.answers[number] = event

    def user(self, events: Sequence[Event]) -> None:
        """Add messages of the user."""
        self._close()
        for event in events:
            if self.messages and self.messages[-1].role == "user":
                self.notes["messages of the user in a row, kept"] += 1
            self.messages.append(user(event.text))

    def system(self, events: Sequence[Event]) -> None:
        """Keep system messages in the provenance; the task's description replaces them."""
        for event in events:
            if self.messages or self.open:
                self.kept["system"][str(len(self.messages))] = event.text
                self.notes["system message within the dialogue, kept beside"] += 1
            elif event.text.strip() != self.task.description.strip():
                self.kept["system"]["0"] = "\n".join(
                    filter(None, [self.kept["system"].get("0"), event.text])
                )
                self.notes["another system message than the task's description, kept beside"] += 1

    def finish(self) -> tuple[Message, ...]:
        """All messages.

        Raises:
            InputError: there is no message of the user or none of the assistant.
        """
        self._close()
        roles = {message.role for message in self.messages}
        for role in ("user", "assistant"):
            if role not in roles:
                raise InputError(f"one-sided: no message of the {role}")
        if self.messages[-1].role == "user":
            self.notes["ends with the user, whom nobody answers"] += 1
        return tuple(self.messages)

    def _close(self) -> None:
        """Append the open calls, each with its result."""
        calls, self.open = self.open, []
        answers, self.answers = self.answers, {}
        for number, event in enumerate(calls):
            assert event.call is not None
            self._add(Message("assistant", tool_call=event.call))
            answer = answers.get(number)
            if answer is None:
                if self.has_results and number < len(calls) - 1:
                    raise InputError(
                        f"call without result: {event.call.name!r} of message {event.at}, called "
                        "beside others"
                    )
            elif event.call.name == RESPOND:
                self.kept["returned"][str(len(self.messages))] = answer.text
                self.notes[f"result of {RESPOND}, kept beside"] += 1
            else:
                self.messages.append(user(answer.text))
                if not _is_object(answer.text):
                    self.notes["result that is no JSON object, which rules take for speech"] += 1

    def _add(self, message: Message) -> None:
        if self.messages and self.messages[-1].role == "assistant":
            if self.has_results:
                raise InputError(
                    f"two turns in a row: {self.messages[-1].tool_call!r:.80} returned nothing"
                )
            self.notes["turns of the assistant in a row, kept"] += 1
        self.messages.append(message)


def _name(event: Event) -> str:
    assert event.call is not None
    return event.call.name


def _is_object(text: str) -> bool:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    items = value if isinstance(value, list) else [value]
    return all(isinstance(item, dict) for item in items)
