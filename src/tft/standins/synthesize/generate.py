"""New conversations by rules: seed conversations are joined and cut, and words and values replaced.

A conversation starts as one exemplar, or as the beginning of one joined to the end of another where
both talk about something that a tool found. Questions are left out until the length fits. Then
messages are replaced by ones from the same place in other conversations, and names, times, and
dates by others (see `substitute`). The result therefore says nothing that no trace said, which
distinguishes it from a language model in this role.
"""

import itertools
import random
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any, NamedTuple

from tft.core.conversation import Conversation, Message, ToolCall, canonical_json, result_of, user
from tft.core.records import Draft, Plan
from tft.core.task import RESPOND, Task
from tft.standins.reading.evidence import Evidence, collect, hear
from tft.standins.reading.facts import words
from tft.standins.synthesize.substitute import (
    Stock,
    is_name,
    put,
    speech,
    substitute,
    take_stock,
    values_of,
)
from tft.standins.synthesize.understand import Understood, understand
from tft.standins.synthesize.wording import Wording

MODELS = 3  # traces drawn as models, of which the richest is used, because few exemplars are rich
LENGTH = re.compile(r"(\d+) to (\d+) messages")
SWAPPED = 0.7  # the share of messages that are replaced if another one fits
TELLING = 4  # words of up to this many letters in a field's name do not identify it

Item = dict[str, Any]


class Flow(NamedTuple):
    """Messages, and the ids of the exemplars that they are from."""

    messages: tuple[Message, ...]
    origins: tuple[str, ...]


def synthesizer(
    seeds: Sequence[Conversation], context: Sequence[Conversation], task: Task
) -> Callable[[Sequence[Plan]], list[Draft]]:
    """A function that turns plans into drafts; seeds and context are read only once."""
    evidence = collect([*seeds, *context], task)
    stock = take_stock(seeds, context, evidence)
    understood = understand(seeds, context, evidence, stock)

    def synthesize(plans: Sequence[Plan]) -> list[Draft]:
        return [_draft(plan, understood, stock, evidence) for plan in plans]

    return synthesize


def _draft(plan: Plan, understood: Understood, stock: Stock, evidence: Evidence) -> Draft:
    rng = random.Random(plan.seed)
    least, most = _length(plan)
    fitting = []
    readings = [
        understood.traces[conversation.id]
        for conversation in (*plan.exemplars, *plan.context)
        if conversation.id in understood.traces
    ]
    for flow in _flows(readings, stock, understood.wording):
        cuts = _questions(flow.messages, stock.today)
        lengths = range(len(flow.messages) - 2 * len(cuts), len(flow.messages) + 1, 2)
        if any(least <= length <= most for length in lengths):
            fitting.append((flow, cuts))
    if not fitting:
        return Draft(plan, None, "no flow of its length: the exemplars join to no such one")
    obeyed = [_obeys(plan, flow.messages) for flow, _ in fitting]
    best = [
        candidate for candidate, score in zip(fitting, obeyed, strict=True) if score == max(obeyed)
    ]
    models = [
        _traits(conversation.messages) for conversation in rng.choices(understood.told, k=MODELS)
    ]
    model = max(models, key=lambda traits: (len(traits), sorted(traits)))
    distances = [len(model ^ _traits(flow.messages)) for flow, _ in best]
    flow, cuts = rng.choice(
        [
            candidate
            for candidate, distance in zip(best, distances, strict=True)
            if distance == min(distances)
        ]
    )
    messages = _cut(flow.messages, cuts, least, most, rng)
    said, sources = understood.wording.swap(
        Conversation(plan.id, "", tuple(messages)), SWAPPED, rng
    )
    messages = substitute(said.messages, stock, evidence, rng)
    provenance = {
        "exemplars": [conversation.id for conversation in plan.exemplars],
        "context": [conversation.id for conversation in plan.context],
        "mutations": plan.mutations,
        "flow": list(flow.origins),
        "words": {str(index): name for index, name in sorted(sources.items())},
    }
    return Draft(plan, Conversation(plan.id, "synthetic", tuple(messages), provenance), None)


# --- mutations --------------------------------------------------------------------------------
def _length(plan: Plan) -> tuple[int, int]:
    """The minimum and maximum number of messages that the plan's topics ask for."""
    for topic in plan.mutations.values():
        if match := LENGTH.search(topic):
            return int(match[1]), int(match[2])
    return 0, 10**9


def _obeys(plan: Plan, messages: Sequence[Message]) -> int:
    """The number of topics, of those that rules understand, that a flow obeys."""
    calls = [
        message.tool_call.name
        for message in messages
        if message.tool_call and message.tool_call.name != RESPOND
    ]
    failed = any(result_of(message) == [] for message in messages)
    winding = failed or len(set(calls)) < len(calls)
    first = next(
        (
            at
            for at, message in enumerate(messages)
            if message.tool_call and message.tool_call.name in calls
        ),
        0,
    )
    values_told = [
        sum(f" {' '.join(words(value))} " in f" {' '.join(words(str(message.content)))} "
            for _, value in set(values_of(messages[first])))
        for message in messages[:first]
        if message.role == "user"
    ]  # fmt: skip
    traits = {
        "straight": not winding,
        "winding": winding,
        "vague": max(values_told, default=0) <= 1,
        "specific": max(values_told, default=0) > 1,
    }
    names = [topic.split(":")[0] for topic in plan.mutations.values()]
    return sum(traits.get(name, False) for name in names)


# --- flows ------------------------------------------------------------------------------------
def _traits(messages: Sequence[Message]) -> frozenset[str]:
    """What distinguishes conversations: the arguments that calls give, and failed calls."""
    arguments = {
        f"{call.name} {name}" for _, call in _service_calls(messages) for name in call.arguments
    }
    failed = {"failed"} if any(result_of(message) == [] for message in messages) else set()
    return frozenset(arguments | failed)


class Focus(NamedTuple):
    """What a conversation is about at some point: an item of a tool result.

    `own` are the values that distinguish the item: no other item of the result has them, and nobody
    asked for them. `given` are the arguments of the call that found it.
    """

    at: int
    item: Item
    own: set[str]
    given: Item


def _flows(exemplars: Sequence[Conversation], stock: Stock, wording: Wording) -> Iterator[Flow]:
    for first in exemplars:
        yield Flow(first.messages, (first.id,))
    for first, second in itertools.permutations(exemplars, 2):
        for messages in _joins(first, second, stock, wording):
            yield Flow(messages, (first.id, second.id))


def _joins(
    first: Conversation, second: Conversation, stock: Stock, wording: Wording
) -> Iterator[tuple[Message, ...]]:
    """Yield beginnings of `first` joined to ends of `second`, about an item in the beginning.

    Both are cut before a user message, after the same kind of talk about an item that a tool found
    and that calls have used in both or in neither. Arguments of later calls that are not from the
    item must not have been mentioned before the cut. The beginning's item replaces the end's. What
    the end says about flags and listed values is added to the result if the beginning does not
    mention it.
    """
    head, tail = first.messages, second.messages
    acts, other_acts = wording.acts(first), wording.acts(second)
    ends = [
        (j, focus, used)
        for j, focus, used in _boundaries(tail)
        if all(not used and _is_about(call, focus) for _, call in _service_calls(tail[j:]))
        and not _told(tail, j, focus, stock.today)
    ]
    for i, focus, already in _boundaries(head):
        if not ends or _told(head, i, focus, stock.today):
            continue
        for j, end, used in ends:
            if (
                already != used
                or focus.item.keys() != end.item.keys()
                or acts[i - 1] != other_acts[j - 1]
            ):
                continue
            places = {
                str(value): str(focus.item[name])
                for name, value in end.item.items()
                if is_name(name, str(value), stock.listed)
            }
            facts = {
                name: value
                for name, value in end.item.items()
                if str(value) not in places and value != focus.item[name]
            }
            distinct = len(places) == sum(
                is_name(name, str(value), stock.listed) for name, value in end.item.items()
            )
            silent = not any(name in focus.given or _heard_of(name, head[:i]) for name in facts)
            if distinct and silent:
                items = [
                    item | facts if item is focus.item else item
                    for item in result_of(head[focus.at]) or []
                ]
                yield (
                    *head[: focus.at],
                    user(canonical_json(items)),
                    *head[focus.at + 1 : i],
                    *(put(message, places) for message in tail[j:]),
                )


def _told(messages: Sequence[Message], index: int, focus: Focus, today: date) -> bool:
    """Whether an argument of later calls, other than the item's, was mentioned before `index`."""
    values = {
        str(value)
        for _, call in _service_calls(messages[index:])
        for value in call.arguments.values()
    } - _values(focus.item)
    texts = [text for message in messages[:index] if (text := speech(message))]
    return any(hear(text, today).mentions(value) for value in values for text in texts)


def _boundaries(messages: Sequence[Message]) -> Iterator[tuple[int, Focus, bool]]:
    """Yield (index, item, used) of user messages after the agent mentioned an item.

    `used` says whether an earlier call used an item.
    """
    for index in range(2, len(messages)):
        spoken = speech(messages[index - 1]) and speech(messages[index])
        if messages[index].role == "user" and spoken and (focus := _focus(messages, index)):
            used = any(
                _is_about(call, earlier)
                for at, call in _service_calls(messages[:index])
                if (earlier := _focus(messages, at))
            )
            yield index, focus, used


def _focus(messages: Sequence[Message], index: int) -> Focus | None:
    """The item of the last result that the agent mentioned last before a message."""
    at = next((k for k in range(index - 1, 0, -1) if result_of(messages[k]) is not None), None)
    call = messages[at - 1].tool_call if at else None
    if at is None or call is None:
        return None
    items = result_of(messages[at]) or []
    if len(items) == 1:
        return Focus(at, items[0], _values(items[0]) - _values(call.arguments), call.arguments)
    for message in reversed(messages[at + 1 : index]):
        text = _plain(speech(message) or "")
        for item in items if message.role == "assistant" else []:
            other_values = {
                value
                for other_item in items
                if other_item is not item
                for value in _values(other_item)
            }
            own = _values(item) - other_values - _values(call.arguments)
            if any(_plain(value) in text for value in own if words(value)):
                return Focus(at, item, own, call.arguments)
    return None


def _is_about(call: ToolCall, focus: Focus) -> bool:
    """Whether a call uses the item: it gives a distinguishing value of it and no other value."""
    shared = call.arguments.keys() & focus.item.keys()
    return bool(_values(call.arguments) & focus.own) and all(
        str(call.arguments[name]) == str(focus.item[name]) for name in shared
    )


def _service_calls(messages: Sequence[Message]) -> list[tuple[int, ToolCall]]:
    return [
        (index, message.tool_call)
        for index, message in enumerate(messages)
        if message.tool_call and message.tool_call.name != RESPOND
    ]


def _heard_of(field: str, messages: Sequence[Message]) -> bool:
    """Whether anybody mentioned a field; "music" mentions has_live_music."""
    telling = {word for word in words(field.replace("_", " ")) if len(word) > TELLING}
    return any(telling & set(words(speech(message) or "")) for message in messages)


def _values(item: Item) -> set[str]:
    return {str(value) for value in item.values()}


def _plain(text: str) -> str:
    return f" {' '.join(words(text))} "


# --- length -----------------------------------------------------------------------------------
def _questions(messages: Sequence[Message], today: date) -> list[int]:
    """The indices of user questions that the agent answers and on which nothing later depends."""
    positions = []
    for index in range(2, len(messages) - 2):
        question, answer = speech(messages[index]), speech(messages[index + 1])
        if not (
            messages[index].role == "user" and question and answer and "?" in question
            and "?" not in answer and speech(messages[index - 1]) and speech(messages[index + 2])
        ):  # fmt: skip
            continue
        later = {
            str(value)
            for _, call in _service_calls(messages[index:])
            for value in call.arguments.values()
        }
        heard, focus = hear(question, today), _focus(messages, index)
        if focus == _focus(messages, index + 2) and not any(map(heard.mentions, later)):
            positions.append(index)
    return positions


def _cut(
    messages: Sequence[Message], questions: Sequence[int], least: int, most: int, rng: random.Random
) -> list[Message]:
    """Leave out as many questions, with their answers, as the length requires."""
    possible = [
        number
        for number in range(len(questions) + 1)
        if least <= len(messages) - 2 * number <= most
    ]
    out = {index + step for index in rng.sample(questions, rng.choice(possible)) for step in (0, 1)}
    return [message for index, message in enumerate(messages) if index not in out]
