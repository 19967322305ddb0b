"""A judge by rules: the published rubric, as far as rules over schemas and tool results reach.

Name first; arguments of service calls by the entity, date, time or number they mean; messages are
good unless they contradict the conversation's facts (`claims.py`) or are no response at all
(`response.py`). It reads the task's tools, never a particular service. It stands in for an LLM
judge and is named wherever its scores are shown.
"""

import re
from collections.abc import Sequence
from datetime import date
from typing import Any, Literal, NamedTuple

from tft.core.conversation import Message, ToolCall, Turn, Verdict
from tft.core.settled import settled
from tft.core.task import RESPOND, Task
from tft.standins.judge.claims import contradiction, told
from tft.standins.judge.response import off_the_point
from tft.standins.judge.state import read_state
from tft.standins.reading.facts import (
    Mention,
    blank,
    find_dates,
    find_numbers,
    find_times,
    find_words,
    number,
    similar,
    words,
)
from tft.standins.reading.speech import key_words

JUDGE_VERSION = 2
"""Bumped whenever a verdict may change."""

# Slots that say which thing or place is meant: here another value is another thing, while a
# category may be called by its synonyms.
ENTITY_WORDS = set(
    words("name title city town location place address area venue origin destination")
)
FILLERS = set(words("a an the on of at for in by around about this coming next oclock day"))
IMPLIED_COUNTS = {"me": 1, "myself": 1, "alone": 1, "solo": 1, "couple": 2, "us": 2, "both": 2}
YES = {"true", "yes", "1"}
BOOLEANS = {"true", "false", "yes", "no"}
Kind = Literal["boolean", "number", "entity", "time", "date", "category"]


def judge(turns: Sequence[Turn], task: Task, today: date | None = None) -> list[Verdict]:
    """A verdict for every turn, in order.

    `today` is the day the conversations take place, on which "tomorrow" depends; by default the
    earliest ISO date in the conversation's calls and results.
    """
    return [_judge_turn(turn, task, today) for turn in turns]


def _judge_turn(turn: Turn, task: Task, today: date | None) -> Verdict:
    if verdict := settled(turn):
        return verdict
    prediction, reference = turn.prediction, turn.reference
    assert isinstance(prediction, ToolCall)  # else it is settled
    today = today or _earliest_date([*turn.prefix, Message("assistant", tool_call=reference)])
    if reference.name == RESPOND:
        return _judge_message(turn, prediction, task, today)
    return _judge_arguments(turn, prediction, task, today)


def _judge_message(turn: Turn, prediction: ToolCall, task: Task, today: date) -> Verdict:
    key, message = next(iter(prediction.arguments.items()), ("", None))
    if prediction.arguments.keys() != turn.reference.arguments.keys():
        return Verdict(False, f"wrong_keys: {sorted(prediction.arguments)}")
    if not isinstance(message, str) or not message.strip():
        return Verdict(False, f"no_message: {key} is {message!r}")
    state = read_state(turn.prefix, task)
    said = str(turn.reference.arguments[key])
    fault = contradiction(message, said, state, task, today)
    fault = fault or off_the_point(message, said, state, task, today)
    if fault:
        return Verdict(False, fault.reason, fault.evidence)
    facts = told(message, state, today)
    return Verdict(
        True,
        "reasonable: responds, and contradicts no fact of the conversation",
        f"holds {', '.join(facts)}" if facts else "holds no fact that was looked up or said",
    )


class _Slot(NamedTuple):
    """An argument's key, its JSON Schema, and what it is read against."""

    key: str
    schema: dict[str, Any]
    said: list[str]
    today: date
    rubric: str


def _judge_arguments(turn: Turn, prediction: ToolCall, task: Task, today: date) -> Verdict:
    tool = task.tool(prediction.name)
    schema = tool.parameters if tool else {}
    said = read_state(turn.prefix, task).dialogue
    reference = turn.reference.arguments
    unlike = []  # what is not the reference's, letter by letter, and good all the same
    for key in sorted(reference.keys() | prediction.arguments.keys()):
        slot = _Slot(
            key,
            schema.get("properties", {}).get(key, {}),
            said,
            today,
            task.judge_instructions.lower(),
        )
        if key not in prediction.arguments:
            # A filter left out still finds the right thing; a required argument names it.
            if key in schema.get("required", []):
                return Verdict(False, f"missing_argument: {key}", f"reference: {reference[key]!r}")
            unlike.append(f"{key} is optional")
            continue
        value = prediction.arguments[key]
        if key not in reference:
            if value != slot.schema.get("default") and not _grounded(slot, str(value)):
                return Verdict(False, f"invented_argument: {key}={value!r}", "never mentioned")
            unlike.append(f"{key}={value!r} is the default or was mentioned")
        elif not _same(slot, reference[key], value):
            return Verdict(
                False, f"wrong_argument: {key}={value!r}", f"reference: {reference[key]!r}"
            )
        elif value != reference[key]:
            unlike.append(f"{key}: {value!r} is {reference[key]!r}")
    return Verdict(
        True, "same_intent: every argument means what the reference's means", "; ".join(unlike)
    )


def _same(slot: _Slot, wanted: Any, given: Any) -> bool:
    if wanted == given or isinstance(wanted, list | dict) or isinstance(given, list | dict):
        return bool(wanted == given)
    a, b = str(wanted), str(given)
    match _kind(slot, a):
        case "boolean":
            same = (a.lower() in YES) == (b.lower() in YES)
        case "number":
            same = find_numbers(a) == find_numbers(b)
        case "time":
            same = _meet(find_times(a), find_times(b))
        case "date":
            same = _meet(find_dates(a, slot.today), find_dates(b, slot.today))
        case "entity":
            same = _same_entity(a, b)
        case "category":
            same = _same_category(a, b, slot)
    return same


def _kind(slot: _Slot, value: str) -> Kind:
    """What a slot holds, by its schema first and by the look of a value then."""
    options = {str(option).lower() for option in slot.schema.get("enum", ())}
    if slot.schema.get("type") == "boolean" or (options and options <= BOOLEANS):
        return "boolean"
    if slot.schema.get("type") in ("integer", "number") or number(value) is not None:
        return "number"
    if ENTITY_WORDS & set(key_words(slot.key)):
        return "entity"
    if _is_all(value, find_times(value)):
        return "time"
    return "date" if _is_all(value, find_dates(value, slot.today)) else "category"


def _is_all(value: str, mentions: list[Mention]) -> bool:
    """Whether a value is nothing but a date or time."""
    return bool(mentions) and set(words(blank(value, mentions))) <= FILLERS


def _meet(wanted: list[Any], given: list[Any]) -> bool:
    return bool(given) and any(w.meanings & g.meanings for w in wanted for g in given)


def _same_entity(a: str, b: str) -> bool:
    if similar(a, b):
        return True
    named = ([word for word in words(text) if word != "the"] for text in (a, b))
    short, long = sorted(named, key=len)
    initials = "".join(word[0] for word in long)
    if len(long) > 1 and "".join(short) == initials:
        return True
    # "San Jose, CA" is San Jose and "Bird Dog Restaurant" is Bird Dog, but York is not New York.
    return len("".join(short)) > 3 and long[: len(short)] == short


def _same_category(wanted: str, given: str, slot: _Slot) -> bool:
    """Synonyms pass; a value is wrong when the conversation speaks for the reference's instead."""
    if "enum" not in slot.schema and (
        similar(wanted, given) or set(words(wanted)) & set(words(given))
    ):
        return True
    # Rubrics name what they take for the same: "Barbecue/American".
    pair = wanted.lower(), given.lower()
    if any("/".join(order) in slot.rubric for order in (pair, pair[::-1])):
        return True
    for_wanted, for_given = _last_said(wanted, slot.said), _last_said(given, slot.said)
    if for_given is None:
        # Closed lists have no synonyms: another value that nobody spoke for is invented.
        return for_wanted is None and "enum" not in slot.schema
    return for_wanted is None or for_given >= for_wanted


def _last_said(value: str, said: list[str]) -> int | None:
    # Prefixes and not `similar`: "moderate" is said by "moderately", but never "expensive" by
    # "inexpensive".
    target = words(value)
    for index in range(len(said) - 1, -1, -1):
        spoken = words(said[index])
        if all(any(word.startswith(part) for word in spoken) for part in target):
            return index
    return None


def _grounded(slot: _Slot, value: str) -> bool:
    """Whether anybody said what an argument that the reference lacks says."""
    text = " . ".join(slot.said)
    match _kind(slot, value):
        case "boolean":
            found = set(key_words(slot.key)[-1:]) <= set(words(text))
        case "number":
            implied = {n for word, n in IMPLIED_COUNTS.items() if word in words(text)}
            found = find_numbers(value) <= find_numbers(text) | implied
        case "time":
            found = _meet(find_times(value), find_times(text))
        case "date":
            dates = find_dates(value, slot.today)
            found = any(slot.today in day.meanings for day in dates)
            found = found or _meet(dates, find_dates(text, slot.today))
        case "entity":
            found = find_words(value, text) is not None
        case "category":
            found = _last_said(value, slot.said) is not None
    return found


def _earliest_date(messages: Sequence[Message]) -> date:
    dates = []
    for message in messages:
        text = message.tool_call.arguments_json if message.tool_call else str(message.content)
        for year, month, day in re.findall(r"\b((?:19|20)\d\d)-(\d\d)-(\d\d)\b", text):
            try:
                dates.append(date(int(year), int(month), int(day)))
            except ValueError:
                continue
    # Without any date, relative words still compare with each other on an arbitrary day.
    return min(dates, default=date(2000, 1, 3))
