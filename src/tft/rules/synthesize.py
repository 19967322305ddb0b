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
from functools import lru_cache
from typing import Any, NamedTuple

from rapidfuzz import fuzz

from tft.conversation import Conversation, Message, ToolCall, canonical_json, user
from tft.curated import Draft, Plan
from tft.rules.evidence import Evidence, collect, hear, result_of
from tft.rules.facts import find_dates, find_numbers, find_times, words
from tft.rules.phrases import NAME
from tft.rules.substitute import (
    Stock,
    is_name,
    put,
    speech,
    substitute,
    take_stock,
    values_of,
)
from tft.task import RESPOND, Task

LENGTH = re.compile(r"(\d+) to (\d+) messages")
SWAPPED = 0.5  # share of messages that give way to another one, where one fits
FITS = 65.0  # likeness, of 100, of a message's neighbours for another one to take its place
FITTING = 5  # of the most fitting ones one is drawn
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
    phrases = [phrase for one in seeds for phrase in _phrases(one.messages, stock).values()]

    def synthesize(plans: Sequence[Plan]) -> list[Draft]:
        return [_draft(plan, phrases, stock, evidence) for plan in plans]

    return synthesize


def _draft(plan: Plan, phrases: Sequence["Phrase"], stock: Stock, evidence: Evidence) -> Draft:
    rng = random.Random(plan.seed)
    least, most = _length(plan)
    fitting = []
    for flow in _flows(plan.exemplars, stock):
        cuts = _questions(flow.messages, stock.today)
        lengths = range(len(flow.messages) - 2 * len(cuts), len(flow.messages) + 1, 2)
        if any(least <= length <= most for length in lengths):
            fitting.append((flow, cuts))
    if not fitting:
        return Draft(plan, None, "no flow of its length: the exemplars join to no such one")
    wanted = [_obeys(plan, flow.messages) for flow, _ in fitting]
    flow, cuts = rng.choice(
        [one for one, score in zip(fitting, wanted, strict=True) if score == max(wanted)]
    )
    messages = _cut(flow.messages, cuts, least, most, rng)
    messages = _swap(messages, phrases, stock, rng)
    messages = substitute(messages, stock, evidence, rng)
    provenance = {
        "exemplars": [one.id for one in plan.exemplars],
        "context": [one.id for one in plan.context],
        "mutations": plan.mutations,
        "flow": list(flow.origins),
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
class Focus(NamedTuple):
    """What a conversation is about at some point: an item of a tool's result.

    `own` are the values that tell it from others: no other item of the result has them, and nobody
    asked for them. `given` are the arguments of the call that found it.
    """

    at: int
    item: Item
    own: set[str]
    given: Item


def _flows(exemplars: Sequence[Conversation], stock: Stock) -> Iterator[Flow]:
    for one in exemplars:
        yield Flow(one.messages, (one.id,))
    for one, other in itertools.permutations(exemplars, 2):
        for messages in _joins(one.messages, other.messages, stock):
            yield Flow(messages, (one.id, other.id))


def _joins(
    head: Sequence[Message], tail: Sequence[Message], stock: Stock
) -> Iterator[tuple[Message, ...]]:
    """Beginnings of one conversation with ends of the other, about an item of the beginning.

    Both are cut before a user's message, behind the same kind of talk about an item that a tool
    found, of which a call has made use in both or in neither. What later calls give beyond the item
    must not have been told before the cut. In the end, the beginning's item takes its place; what
    the end says of flags and listed values goes into the result, if the beginning is silent on it.
    """
    ends = [
        (j, focus, used)
        for j, focus, used in _boundaries(tail)
        if all(not used and _is_about(call, focus) for _, call in _service_calls(tail[j:]))
        and not _told(tail, j, focus, stock.today)
    ]
    for i, focus, already in _boundaries(head):
        if not ends or _told(head, i, focus, stock.today):
            continue
        for j, other, used in ends:
            if (
                already != used
                or focus.item.keys() != other.item.keys()
                or _asks(head[i - 1]) != _asks(tail[j - 1])
            ):
                continue
            places = {
                str(value): str(focus.item[name])
                for name, value in other.item.items()
                if is_name(name, str(value), stock.listed)
            }
            facts = {
                name: value
                for name, value in other.item.items()
                if str(value) not in places and value != focus.item[name]
            }
            distinct = len(places) == sum(
                is_name(name, str(value), stock.listed) for name, value in other.item.items()
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


def _asks(message: Message) -> bool:
    return "?" in (speech(message) or "")


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


# --- words ------------------------------------------------------------------------------------
class Phrase(NamedTuple):
    """A message that names nothing, and what stands around it."""

    message: Message
    next_tool: str
    before: str
    after: str


def _phrases(messages: Sequence[Message], stock: Stock) -> dict[int, Phrase]:
    """The messages that could stand in another conversation as they are, by index."""
    facts = {
        word
        for field in stock.listed
        for word in words(field.replace("_", " "))
        if len(word) > TELLING
    }
    named = [_plain(value) for message in messages for _, value in values_of(message)]
    spoken = [speech(message) or "" for message in messages]
    understood = _understood(messages, spoken, stock.today)
    found = {}
    for index, message in enumerate(messages):
        text = spoken[index]
        if (
            not text
            or (message.role == "user" and index not in understood)
            or "?" in text
            or facts & set(words(text))
            or find_numbers(text)
            or find_times(text)
            or find_dates(text, stock.today)
            or any(name in _plain(text) for name in named)
            or any(word.lower() not in stock.ordinary for word in NAME.findall(text))
        ):
            continue
        following = messages[index + 1 : index + 3]
        tool = next((one.tool_call.name for one in following if one.tool_call), "")
        around = [spoken[at] if 0 <= at < len(messages) else "" for at in (index - 1, index + 1)]
        found[index] = Phrase(message, tool, *around)
    return found


def _understood(messages: Sequence[Message], spoken: Sequence[str], today: date) -> set[int]:
    """Indices before whose next service call everything that it gives was said in its own words.

    Elsewhere a message may hold a value in other words ("something Southern" for American).
    """
    found: set[int] = set()
    begin = 0
    for at, call in _service_calls(messages):
        heard = [hear(text, today) for text in spoken[:at] if text]
        if all(any(one.mentions(str(value)) for one in heard) for value in call.arguments.values()):
            found.update(range(begin, at))
        begin = at
    return found.union(range(begin, len(messages)))


def _swap(
    messages: Sequence[Message], phrases: Sequence[Phrase], stock: Stock, rng: random.Random
) -> list[Message]:
    """Some messages replaced by ones that stood between much the same neighbours elsewhere."""
    result = list(messages)
    for index, here in _phrases(messages, stock).items():
        if rng.random() >= SWAPPED:
            continue
        fitting = [
            (fit, number)
            for number, other in enumerate(phrases)
            if (other.message.role, other.next_tool) == (here.message.role, here.next_tool)
            and (fit := _fit(here, other)) >= FITS
        ]
        if fitting:
            best = sorted(fitting, key=lambda pair: (-pair[0], pair[1]))[:FITTING]
            result[index] = phrases[rng.choice(best)[1]].message
    return result


def _fit(a: Phrase, b: Phrase) -> float:
    return (_alike(a.before, b.before) + _alike(a.after, b.after)) / 2


@lru_cache(maxsize=1_000_000)
def _alike(a: str, b: str) -> float:
    return 100.0 if a == b else fuzz.token_sort_ratio(a, b)
