"""New conversations by rules: flows of seeds joined and cut, words swapped, values replaced.

A conversation begins as one exemplar or as the beginning of one joined to the end of another, where
both talk about something a tool found. Questions are left out until the length fits. Then messages
give way to ones that stood in the same place elsewhere, and every name, time and date to another
(see `substitute`). So it can say nothing that no trace said, which is what sets it apart from a
language model in this role.
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

MODELS = 3  # traces drawn to be like; the richest counts, because few exemplars are as rich
LENGTH = re.compile(r"(\d+) to (\d+) messages")
SWAPPED = 0.7  # share of messages that give way to another one, where one fits
TELLING = 4  # letters of the longest words of a field's name that tell nothing

Item = dict[str, Any]


class Flow(NamedTuple):
    """Messages, and the exemplars they are from."""

    messages: tuple[Message, ...]
    origins: tuple[str, ...]


def synthesizer(
    seeds: Sequence[Conversation], context: Sequence[Conversation], task: Task
) -> Callable[[Sequence[Plan]], list[Draft]]:
    """What turns plans into drafts, with all seeds and the context read once."""
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
    told = [
        understood.traces[one.id]
        for one in (*plan.exemplars, *plan.context)
        if one.id in understood.traces
    ]
    for flow in _flows(told, stock, understood.wording):
        cuts = _questions(flow.messages, stock.today)
        lengths = range(len(flow.messages) - 2 * len(cuts), len(flow.messages) + 1, 2)
        if any(least <= length <= most for length in lengths):
            fitting.append((flow, cuts))
    if not fitting:
        return Draft(plan, None, "no flow of its length: the exemplars join to no such one")
    wanted = [_obeys(plan, flow.messages) for flow, _ in fitting]
    best = [one for one, score in zip(fitting, wanted, strict=True) if score == max(wanted)]
    models = [_traits(one.messages) for one in rng.choices(understood.told, k=MODELS)]
    model = max(models, key=lambda traits: (len(traits), sorted(traits)))
    unlike = [len(model ^ _traits(one.messages)) for one, _ in best]
    flow, cuts = rng.choice(
        [one for one, far in zip(best, unlike, strict=True) if far == min(unlike)]
    )
    messages = _cut(flow.messages, cuts, least, most, rng)
    said, sources = understood.wording.swap(
        Conversation(plan.id, "", tuple(messages)), SWAPPED, rng
    )
    messages = substitute(said.messages, stock, evidence, rng)
    provenance = {
        "exemplars": [one.id for one in plan.exemplars],
        "context": [one.id for one in plan.context],
        "mutations": plan.mutations,
        "flow": list(flow.origins),
        "words": {str(index): name for index, name in sorted(sources.items())},
    }
    return Draft(plan, Conversation(plan.id, "synthetic", tuple(messages), provenance), None)


# --- mutations --------------------------------------------------------------------------------
def _length(plan: Plan) -> tuple[int, int]:
    """The least and the most messages that the plan's topics ask for."""
    for topic in plan.mutations.values():
        if found := LENGTH.search(topic):
            return int(found[1]), int(found[2])
    return 0, 10**9


def _obeys(plan: Plan, messages: Sequence[Message]) -> int:
    """How many of the topics that rules understand a flow keeps to."""
    calls = [
        message.tool_call.name
        for message in messages
        if message.tool_call and message.tool_call.name != RESPOND
    ]
    failed = any(result_of(message) == [] for message in messages)
    winding = failed or len(set(calls)) < len(calls)
    first = next(
        (at for at, one in enumerate(messages) if one.tool_call and one.tool_call.name in calls), 0
    )
    told = [
        sum(f" {' '.join(words(value))} " in f" {' '.join(words(str(message.content)))} "
            for _, value in set(values_of(messages[first])))
        for message in messages[:first]
        if message.role == "user"
    ]  # fmt: skip
    traits = {
        "straight": not winding,
        "winding": winding,
        "vague": max(told, default=0) <= 1,
        "specific": max(told, default=0) > 1,
    }
    names = [topic.split(":")[0] for topic in plan.mutations.values()]
    return sum(traits.get(name, False) for name in names)


# --- flows ------------------------------------------------------------------------------------
def _traits(messages: Sequence[Message]) -> frozenset[str]:
    """What tells conversations apart: what calls give, and whether a service fails."""
    given = {
        f"{call.name} {name}" for _, call in _service_calls(messages) for name in call.arguments
    }
    failed = {"failed"} if any(result_of(message) == [] for message in messages) else set()
    return frozenset(given | failed)


class Focus(NamedTuple):
    """What a conversation is about at some point: an item of a tool's result.

    `own` are the values that tell it from others: no other item of the result has them, and nobody
    asked for them. `given` are the arguments of the call that found it.
    """

    at: int
    item: Item
    own: set[str]
    given: Item


def _flows(exemplars: Sequence[Conversation], stock: Stock, wording: Wording) -> Iterator[Flow]:
    for one in exemplars:
        yield Flow(one.messages, (one.id,))
    for one, other in itertools.permutations(exemplars, 2):
        for messages in _joins(one, other, stock, wording):
            yield Flow(messages, (one.id, other.id))


def _joins(
    one: Conversation, other: Conversation, stock: Stock, wording: Wording
) -> Iterator[tuple[Message, ...]]:
    """Beginnings of one conversation with ends of the other, about an item of the beginning.

    Both are cut before a user's message, behind the same kind of talk about an item that a tool
    found, of which a call has made use in both or in neither. What later calls give beyond the item
    must not have been told before the cut. In the end, the beginning's item takes its place; what
    the end says of flags and listed values goes into the result, if the beginning is silent on it.
    """
    head, tail = one.messages, other.messages
    acts, other_acts = wording.acts(one), wording.acts(other)
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
                found = [
                    item | facts if item is focus.item else item
                    for item in result_of(head[focus.at]) or []
                ]
                yield (
                    *head[: focus.at],
                    user(canonical_json(found)),
                    *head[focus.at + 1 : i],
                    *(put(message, places) for message in tail[j:]),
                )


def _told(messages: Sequence[Message], index: int, focus: Focus, today: date) -> bool:
    """Whether something that later calls give, other than the item, was said before a message."""
    values = {
        str(value)
        for _, call in _service_calls(messages[index:])
        for value in call.arguments.values()
    } - _values(focus.item)
    texts = [text for message in messages[:index] if (text := speech(message))]
    return any(hear(text, today).mentions(value) for value in values for text in texts)


def _boundaries(messages: Sequence[Message]) -> Iterator[tuple[int, Focus, bool]]:
    """(where a user speaks after the agent spoke of an item, the item, whether a call used it)."""
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
    """The item of the last result that the agent spoke of last before a message."""
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
            others = {value for one in items if one is not item for value in _values(one)}
            own = _values(item) - others - _values(call.arguments)
            if any(_plain(value) in text for value in own if words(value)):
                return Focus(at, item, own, call.arguments)
    return None


def _is_about(call: ToolCall, focus: Focus) -> bool:
    """Whether a call makes use of the item: it gives what tells it apart, and no other value."""
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
    """Whether anybody spoke of a field: has_live_music is heard of in "music"."""
    telling = {word for word in words(field.replace("_", " ")) if len(word) > TELLING}
    return any(telling & set(words(speech(message) or "")) for message in messages)


def _values(item: Item) -> set[str]:
    return {str(value) for value in item.values()}


def _plain(text: str) -> str:
    return f" {' '.join(words(text))} "


# --- length -----------------------------------------------------------------------------------
def _questions(messages: Sequence[Message], today: date) -> list[int]:
    """Where a user asks and the agent answers, and nothing later rests on it."""
    found = []
    for index in range(2, len(messages) - 2):
        asked, answer = speech(messages[index]), speech(messages[index + 1])
        if not (
            messages[index].role == "user" and asked and answer and "?" in asked
            and "?" not in answer and speech(messages[index - 1]) and speech(messages[index + 2])
        ):  # fmt: skip
            continue
        later = {
            str(value)
            for _, call in _service_calls(messages[index:])
            for value in call.arguments.values()
        }
        heard, focus = hear(asked, today), _focus(messages, index)
        if focus == _focus(messages, index + 2) and not any(map(heard.mentions, later)):
            found.append(index)
    return found


def _cut(
    messages: Sequence[Message], questions: Sequence[int], least: int, most: int, rng: random.Random
) -> list[Message]:
    """Leave out as many questions, with their answers, as the length asks for."""
    possible = [
        number
        for number in range(len(questions) + 1)
        if least <= len(messages) - 2 * number <= most
    ]
    out = {index + step for index in rng.sample(questions, rng.choice(possible)) for step in (0, 1)}
    return [message for index, message in enumerate(messages) if index not in out]
