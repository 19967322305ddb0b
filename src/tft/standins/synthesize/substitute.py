"""A conversation with other values: names, times and dates replaced, each the same throughout.

What replaces them comes from the traces at hand: names that their tools returned (or two of those
recombined), and the ways in which their users and agents say a time or a date.
"""

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from tft.core.conversation import Conversation, Message, ToolCall, canonical_json, result_of, user
from tft.core.task import RESPOND
from tft.standins.reading.evidence import CLOCK, DATE, Evidence, enumerated, hear, is_flag, minutes
from tft.standins.reading.facts import Mention, blank, find_dates, find_numbers, find_times, words
from tft.standins.reading.phrases import said

RECOMBINED = 0.5  # share of names put together from two that were seen
STEP = 30  # minutes by which times move, all of a conversation's alike
FARTHEST = 10  # steps, and days, that they move at most
PREPOSITION = re.compile(r"^(at|around|by)\s+", re.IGNORECASE)

Speakers = dict[str, dict[str, list[str]]]
"""Per speaker (user, assistant) and moment, every way it was said."""


class Stock(NamedTuple):
    """What values may be replaced by.

    Attributes:
        names: per field of results, every value that names something.
        spellings: how moments are said, by kind (times, dates).
        ordinary: words that also occur in lower case, so that they tell no name.
        listed: fields whose values a schema lists.
        today: the day on which the conversations take place.
    """

    names: dict[str, list[str]]
    spellings: tuple[Speakers, Speakers]
    ordinary: set[str]
    listed: set[str]
    today: date


def is_name(field: str, value: str, listed: set[str]) -> bool:
    """Whether a field's value names something: no listed value, flag, number or moment."""
    return (
        field not in listed
        and not is_flag({value})
        and not value.isdigit()
        and not CLOCK.fullmatch(value)
        and not DATE.fullmatch(value)
        and bool(words(value))
    )


def speech(message: Message) -> str | None:
    """What a message says to the other side; None for calls of services and for results."""
    if message.tool_call is None:
        return message.content if result_of(message) is None else None
    if message.tool_call.name != RESPOND:
        return None
    return " ".join(map(str, message.tool_call.arguments.values()))


def values_of(message: Message) -> list[tuple[str, str]]:
    """(field, value) of everything a service call gives or a result tells."""
    call = message.tool_call
    called = [call.arguments] if call is not None and call.name != RESPOND else []
    fields = [*called, *(result_of(message) or [])]
    return [(name, str(value)) for one in fields for name, value in one.items()]


def take_stock(
    seeds: Sequence[Conversation], context: Sequence[Conversation], evidence: Evidence
) -> Stock:
    """Read all seeds, and of the context what users say and tools return."""
    listed = {field for field, values in enumerated(evidence.task).items() if values}
    names: dict[str, set[str]] = defaultdict(set)
    times: dict[str, dict[str, set[str]]] = {role: defaultdict(set) for role in ROLES}
    dates: dict[str, dict[str, set[str]]] = {role: defaultdict(set) for role in ROLES}
    lower: set[str] = set()
    for one, trusted in [*((one, True) for one in seeds), *((one, False) for one in context)]:
        messages = [message for message in one.messages if trusted or message.tool_call is None]
        moments = {value for message in messages for _, value in values_of(message)}
        for message in messages:
            for field, value in values_of(message):
                if message.tool_call is None and is_name(field, value, listed):
                    names[field].add(value)
            text = speech(message)
            if text is None:
                continue
            lower.update(words(" ".join(re.findall(r"\b[a-z][\w'-]*", text))))
            for found, kept in zip(_moments(text, evidence.today), (times, dates), strict=True):
                for mention in found:
                    meant = moments & set(_canonical(mention))
                    spelt = text[mention.start : mention.end]
                    if len(meant) == 1 and not PREPOSITION.match(spelt) and len(spelt) > 2:
                        kept[message.role][meant.pop()].add(spelt)
    return Stock(
        {field: sorted(values) for field, values in names.items()},
        (_sorted(times), _sorted(dates)),
        lower,
        listed,
        evidence.today,
    )


ROLES = ("user", "assistant")


def _sorted(found: Mapping[str, Mapping[str, Iterable[str]]]) -> Speakers:
    return {
        role: {moment: sorted(spelt) for moment, spelt in moments.items()}
        for role, moments in found.items()
    }


def substitute(
    messages: Sequence[Message], stock: Stock, evidence: Evidence, rng: random.Random
) -> list[Message]:
    """The same conversation about other things.

    A value stays where replacing it could leave a contradiction behind: a call's argument that
    nobody said in these words ("Punjabi" for Indian), a name that is also mentioned by a part of
    it. Numbers and listed values stay, so that what is said about them stays true. Times move
    together, and so do dates, which keeps "half an hour later" half an hour.

    Args:
        messages: whole, calls under declared names.
        stock: where other values come from.
        evidence: of the traces.
        rng: where all randomness comes from.
    """
    names = _other_names(messages, stock, rng)
    # Names that stay are found too, so that no part of them is taken for another one.
    spans = _pattern(
        _plain(value)
        for message in messages
        for field, value in values_of(message)
        if is_name(field, value, stock.listed)
    )
    clocks, days = _other_moments(messages, names, stock, rng)

    def rewrite(text: str, role: str) -> str:
        parts = []
        named = list(spans.finditer(text)) if spans else []
        for match in named:
            new = names.get(_plain(match[0]))
            if new is None:
                continue
            parts.append((match.start(), match.end(), new.lower() if match[0].islower() else new))
        hidden = text
        for match in named:
            hidden = hidden[: match.start()] + "#" * len(match[0]) + hidden[match.end() :]
        found = _moments(hidden, stock.today)
        for mentions, moved, spellings in zip(found, (clocks, days), stock.spellings, strict=True):
            for mention in mentions:
                meant = [moment for moment in _canonical(mention) if moment in moved]
                if meant:
                    old = text[mention.start : mention.end]
                    new = moved[meant[0]]
                    spelt = rng.choice(spellings[role].get(new) or [said(new)])
                    before = PREPOSITION.match(old)
                    spelt = (before[0] if before else "") + spelt
                    parts.append((mention.start, mention.end, spelt))
        for start, end, new in sorted(parts, reverse=True):
            text = text[:start] + new + text[end:]
        return re.sub(r"\b(the) the\b", r"\1", text, flags=re.IGNORECASE)

    def value(old: Any) -> Any:
        text = str(old)
        return names.get(_plain(text)) or clocks.get(text) or days.get(text) or old

    result = []
    for message in messages:
        call, items = message.tool_call, result_of(message)
        if call is not None and call.name == RESPOND:
            arguments = {
                name: rewrite(str(text), "assistant") for name, text in call.arguments.items()
            }
            result.append(Message("assistant", tool_call=ToolCall(RESPOND, arguments)))
        elif call is not None:
            arguments = {name: value(old) for name, old in call.arguments.items()}
            result.append(Message("assistant", tool_call=ToolCall(call.name, arguments)))
        elif items is not None:
            renamed = [evidence.renamed(item) for item in items]
            new_items = [{name: value(old) for name, old in item.items()} for item in renamed]
            result.append(user(canonical_json(new_items)))
        else:
            result.append(user(rewrite(str(message.content), "user")))
    return result


def put(message: Message, places: Mapping[str, str]) -> Message:
    """A message with some values, however punctuated and wherever they stand, replaced."""
    names = {_plain(old): new for old, new in places.items()}
    spans = _pattern(names)
    call, items = message.tool_call, result_of(message)
    if spans is None:
        return message
    if call is not None and call.name != RESPOND:
        given = {name: names.get(_plain(str(old)), old) for name, old in call.arguments.items()}
        return Message("assistant", tool_call=ToolCall(call.name, given))
    if items is not None:
        told = [
            {name: names.get(_plain(str(old)), old) for name, old in item.items()} for item in items
        ]
        return user(canonical_json(told))

    def rewrite(text: object) -> str:
        return spans.sub(lambda match: names[_plain(match[0])], str(text))

    if call is not None:
        texts = {name: rewrite(text) for name, text in call.arguments.items()}
        return Message("assistant", tool_call=ToolCall(RESPOND, texts))
    return user(rewrite(message.content))


def _other_names(messages: Sequence[Message], stock: Stock, rng: random.Random) -> dict[str, str]:
    """New name by the plain spelling of the old one."""
    fields: dict[str, tuple[str, str]] = {}
    for message in messages:
        for field, value in values_of(message):
            if is_name(field, value, stock.listed):
                fields.setdefault(_plain(value), (field, value))
    everything = _pattern(fields)
    rest: set[str] = set()
    for message in messages:
        if (text := speech(message)) is not None and everything:
            rest.update(words(everything.sub(" ", text)))
    unsaid = {
        _plain(str(value))
        for index, message in enumerate(messages)
        if message.tool_call and message.tool_call.name != RESPOND
        for value in message.tool_call.arguments.values()
        if not _said_before(messages, index, str(value), stock.today)
    }
    used = set(fields)
    names = {}
    for plain, (field, value) in sorted(fields.items()):
        telling = {word for word in words(value) if len(word) > 2} - stock.ordinary
        if plain in unsaid or telling & rest:
            continue
        new = _draw(stock.names.get(field, []), used, rng)
        if new is not None:
            used.add(_plain(new))
            names[plain] = new
    return names


def _draw(seen: Sequence[str], used: set[str], rng: random.Random) -> str | None:
    for _ in range(10):
        if not seen:
            return None
        new = rng.choice(seen)
        head, tail = new.split(), rng.choice(seen).split()
        letters = not re.search(r"\d", new)
        if len(head) > 1 and len(tail) > 1 and letters and rng.random() < RECOMBINED:
            joined = [*head[: -(len(head) // 2)], *tail[len(tail) // 2 :]]
            new = " ".join(dict.fromkeys(joined))
        if _plain(new) not in used:
            return new
    return None


def _other_moments(
    messages: Sequence[Message], names: Mapping[str, str], stock: Stock, rng: random.Random
) -> tuple[dict[str, str], dict[str, str]]:
    """New times and new dates by the old ones; none where a call's moment was never said."""
    values = {value for message in messages for _, value in values_of(message)}
    clocks = sorted(value for value in values if CLOCK.fullmatch(value))
    days = sorted(value for value in values if DATE.fullmatch(value))
    unsaid = {
        str(value)
        for index, message in enumerate(messages)
        if message.tool_call and message.tool_call.name != RESPOND
        for value in message.tool_call.arguments.values()
        if not _said_before(messages, index, str(value), stock.today)
    }
    if _unclear(messages, values, stock):
        return {}, {}
    known = [minutes(moment) for said_by in stock.spellings[0].values() for moment in said_by]
    moved_clocks, moved_days = {}, {}
    if clocks and known and not unsaid & set(clocks):
        shifts = [
            STEP * steps
            for steps in range(-FARTHEST, FARTHEST + 1)
            if min(known) <= minutes(clocks[0]) + STEP * steps
            and minutes(clocks[-1]) + STEP * steps <= max(known)
        ]
        shift = rng.choice(shifts or [0])
        moved_clocks = {
            old: f"{(minutes(old) + shift) // 60:02}:{(minutes(old) + shift) % 60:02}"
            for old in clocks
        }
    fixed = {day for day in days if _first_said_by_agent(messages, day, stock.today)}
    days = [day for day in days if day not in fixed]
    if days and not unsaid & set(days):
        room = max(0, (date.fromisoformat(days[0]) - stock.today).days)  # none becomes yesterday
        shifts = [
            shift
            for shift in range(-min(room, FARTHEST), FARTHEST + 1)
            if not fixed & {str(date.fromisoformat(old) + timedelta(shift)) for old in days}
        ]
        shift = rng.choice(shifts or [0])
        moved_days = {old: str(date.fromisoformat(old) + timedelta(shift)) for old in days}
    return moved_clocks, moved_days


def _unclear(messages: Sequence[Message], values: set[str], stock: Stock) -> bool:
    """Whether somebody says a number that may be a moment, such as "at evening 7"."""
    spans = _pattern(value.lower() for value in values if is_name("", value, set()))
    numbers = {float(value) for value in values if value.isdecimal()} | {1.0}
    for message in messages:
        text = speech(message) if message.role == "user" else None
        if text is not None:
            rest = spans.sub("#", clear(text)) if spans else clear(text)
            for found in _moments(rest, stock.today):
                rest = blank(rest, found)
            if find_numbers(rest) - numbers:
                return True
    return False


def _first_said_by_agent(messages: Sequence[Message], value: str, today: date) -> bool:
    """Whether a moment is the agent's own idea, such as today for a booking without a date."""
    for message in messages:
        text = speech(message)
        if text is not None and hear(text, today).mentions(value):
            return message.role == "assistant"
    return False


def _said_before(messages: Sequence[Message], index: int, value: str, today: date) -> bool:
    texts = [text for one in messages[:index] if (text := speech(one)) is not None]
    return any(hear(text, today).mentions(value) for text in texts)


def clear(text: str) -> str:
    """With `o'clock` spelt so that it is understood; no position changes."""
    return text.replace('o"clock', "o'clock")


def _moments(text: str, today: date) -> tuple[list[Mention], list[Mention]]:
    text = clear(text)
    times = find_times(text)
    return times, find_dates(blank(text, times), today)


def _canonical(mention: Mention) -> list[str]:
    return [
        f"{meaning // 60:02}:{meaning % 60:02}" if isinstance(meaning, int) else str(meaning)
        for meaning in sorted(mention.meanings)
    ]


def _plain(value: str) -> str:
    return " ".join(re.findall(r"\w+", value.lower()))


def _pattern(plain: Iterable[str]) -> re.Pattern[str] | None:
    """Matches each value however it is punctuated, the longest first."""
    said_as = [
        r"\W+".join(map(re.escape, value.split()))
        for value in sorted(set(plain), key=lambda value: (-len(value), value))
        if value
    ]
    return re.compile(rf"(?<!\w)(?:{'|'.join(said_as)})(?!\w)", re.IGNORECASE) if said_as else None
