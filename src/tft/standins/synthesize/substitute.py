"""A conversation with other values: names, times, and dates are replaced consistently.

Replacements come from the traces: names that tools returned (or two of those recombined), and the
ways in which users and agents say times and dates.
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

RECOMBINED = 0.5  # the share of names that are combined from two names in the traces
STEP = 30  # times move by a multiple of this many minutes, the same for a whole conversation
FARTHEST = 10  # the maximum number of steps, or days, by which times and dates move
PREPOSITION = re.compile(r"^(at|around|by)\s+", re.IGNORECASE)

Speakers = dict[str, dict[str, list[str]]]
"""For each speaker (user, assistant) and each time or date, every way in which it was said."""


class Stock(NamedTuple):
    """What values may be replaced by.

    Attributes:
        names: For each field of results, every value that names something.
        spellings: How times and how dates are said.
        ordinary: Words that also occur in lower case and therefore do not identify a name.
        listed: Fields whose values a schema lists.
        today: The date on which the conversations take place.
    """

    names: dict[str, list[str]]
    spellings: tuple[Speakers, Speakers]
    ordinary: set[str]
    listed: set[str]
    today: date


def is_name(field: str, value: str, listed: set[str]) -> bool:
    """Whether a field's value is a name: not a listed value, flag, number, time, or date."""
    return (
        field not in listed
        and not is_flag({value})
        and not value.isdigit()
        and not CLOCK.fullmatch(value)
        and not DATE.fullmatch(value)
        and bool(words(value))
    )


def speech(message: Message) -> str | None:
    """What a message says to the other side, or None for service calls and results."""
    if message.tool_call is None:
        return message.content if result_of(message) is None else None
    if message.tool_call.name != RESPOND:
        return None
    return " ".join(map(str, message.tool_call.arguments.values()))


def values_of(message: Message) -> list[tuple[str, str]]:
    """(field, value) of all arguments of a service call or all fields of a result."""
    call = message.tool_call
    called = [call.arguments] if call is not None and call.name != RESPOND else []
    fields = [*called, *(result_of(message) or [])]
    return [(name, str(value)) for values in fields for name, value in values.items()]


def take_stock(
    seeds: Sequence[Conversation], context: Sequence[Conversation], evidence: Evidence
) -> Stock:
    """Collect replacements from all of the seeds, and from users and tools in the context."""
    listed = {field for field, values in enumerated(evidence.task).items() if values}
    names: dict[str, set[str]] = defaultdict(set)
    times: dict[str, dict[str, set[str]]] = {role: defaultdict(set) for role in ROLES}
    dates: dict[str, dict[str, set[str]]] = {role: defaultdict(set) for role in ROLES}
    lower: set[str] = set()
    for conversation, trusted in [
        *((conversation, True) for conversation in seeds),
        *((conversation, False) for conversation in context),
    ]:
        messages = [
            message for message in conversation.messages if trusted or message.tool_call is None
        ]
        moments = {value for message in messages for _, value in values_of(message)}
        for message in messages:
            for field, value in values_of(message):
                if message.tool_call is None and is_name(field, value, listed):
                    names[field].add(value)
            text = speech(message)
            if text is None:
                continue
            lower.update(words(" ".join(re.findall(r"\b[a-z][\w'-]*", text))))
            for mentions, spellings in zip(
                _moments(text, evidence.today), (times, dates), strict=True
            ):
                for mention in mentions:
                    meant = moments & set(_canonical(mention))
                    spelling = text[mention.start : mention.end]
                    if len(meant) == 1 and not PREPOSITION.match(spelling) and len(spelling) > 2:
                        spellings[message.role][meant.pop()].add(spelling)
    return Stock(
        {field: sorted(values) for field, values in names.items()},
        (_sorted(times), _sorted(dates)),
        lower,
        listed,
        evidence.today,
    )


ROLES = ("user", "assistant")


def _sorted(spellings: Mapping[str, Mapping[str, Iterable[str]]]) -> Speakers:
    return {
        role: {moment: sorted(ways) for moment, ways in moments.items()}
        for role, moments in spellings.items()
    }


def substitute(
    messages: Sequence[Message], stock: Stock, evidence: Evidence, rng: random.Random
) -> list[Message]:
    """The same conversation about other things.

    A value stays if replacing it could leave a contradiction: an argument that nobody said in these
    words ("Punjabi" for Indian), or a name that is also mentioned by a part of it. Numbers and
    listed values stay, so that what is said about them remains true. All times move together, and
    so do all dates, so that "half an hour later" remains half an hour.

    Args:
        messages: A whole conversation, with calls under declared names.
        stock: The replacements.
        evidence: Statistics of the traces.
        rng: The source of all randomness.
    """
    names = _other_names(messages, stock, rng)
    # Also match names that stay, so that no part of them is mistaken for another name.
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
        mentions_by_kind = _moments(hidden, stock.today)
        for mentions, moved, spellings in zip(
            mentions_by_kind, (clocks, days), stock.spellings, strict=True
        ):
            for mention in mentions:
                meant = [moment for moment in _canonical(mention) if moment in moved]
                if meant:
                    old = text[mention.start : mention.end]
                    new = moved[meant[0]]
                    spelling = rng.choice(spellings[role].get(new) or [said(new)])
                    before = PREPOSITION.match(old)
                    spelling = (before[0] if before else "") + spelling
                    parts.append((mention.start, mention.end, spelling))
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
    """A message with values replaced wherever they occur, independent of punctuation."""
    names = {_plain(old): new for old, new in places.items()}
    spans = _pattern(names)
    call, items = message.tool_call, result_of(message)
    if spans is None:
        return message
    if call is not None and call.name != RESPOND:
        arguments = {name: names.get(_plain(str(old)), old) for name, old in call.arguments.items()}
        return Message("assistant", tool_call=ToolCall(call.name, arguments))
    if items is not None:
        new_items = [
            {name: names.get(_plain(str(old)), old) for name, old in item.items()} for item in items
        ]
        return user(canonical_json(new_items))

    def rewrite(text: object) -> str:
        return spans.sub(lambda match: names[_plain(match[0])], str(text))

    if call is not None:
        texts = {name: rewrite(text) for name, text in call.arguments.items()}
        return Message("assistant", tool_call=ToolCall(RESPOND, texts))
    return user(rewrite(message.content))


def _other_names(messages: Sequence[Message], stock: Stock, rng: random.Random) -> dict[str, str]:
    """The new name for each old one, by its plain spelling."""
    fields: dict[str, tuple[str, str]] = {}
    for message in messages:
        for field, value in values_of(message):
            if is_name(field, value, stock.listed):
                fields.setdefault(_plain(value), (field, value))
    any_name = _pattern(fields)
    remaining: set[str] = set()
    for message in messages:
        if (text := speech(message)) is not None and any_name:
            remaining.update(words(any_name.sub(" ", text)))
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
        if plain in unsaid or telling & remaining:
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
    """(new times by old ones, new dates by old ones), empty if one in a call was never said."""
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
    """Whether a user says a number that may be a time or date, such as "at evening 7"."""
    spans = _pattern(value.lower() for value in values if is_name("", value, set()))
    numbers = {float(value) for value in values if value.isdecimal()} | {1.0}
    for message in messages:
        text = speech(message) if message.role == "user" else None
        if text is not None:
            remaining = spans.sub("#", clear(text)) if spans else clear(text)
            for mentions in _moments(remaining, stock.today):
                remaining = blank(remaining, mentions)
            if find_numbers(remaining) - numbers:
                return True
    return False


def _first_said_by_agent(messages: Sequence[Message], value: str, today: date) -> bool:
    """Whether the agent mentions a date first, such as today for a booking without a date."""
    for message in messages:
        text = speech(message)
        if text is not None and hear(text, today).mentions(value):
            return message.role == "assistant"
    return False


def _said_before(messages: Sequence[Message], index: int, value: str, today: date) -> bool:
    texts = [text for message in messages[:index] if (text := speech(message)) is not None]
    return any(hear(text, today).mentions(value) for text in texts)


def clear(text: str) -> str:
    """The text with `o'clock` spelled so that it can be read; positions do not change."""
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
    """A pattern for the values, independent of punctuation, longest first; None without values."""
    said_as = [
        r"\W+".join(map(re.escape, value.split()))
        for value in sorted(set(plain), key=lambda value: (-len(value), value))
        if value
    ]
    return re.compile(rf"(?<!\w)(?:{'|'.join(said_as)})(?!\w)", re.IGNORECASE) if said_as else None
