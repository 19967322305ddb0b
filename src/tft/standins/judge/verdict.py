"""A judge by rules: the published rubric, as far as rules over schemas and tool results can go.

The function's name is compared first. Arguments of service calls are compared by the entity, date,
time, or number that they mean. Messages are good unless they contradict facts of the conversation
(`claims.py`) or do not respond to it (`response.py`). The rules read the task's tools and know no
particular service. They stand in for an LLM judge and are named wherever their scores are shown.
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
"""Raised whenever a verdict may change."""

# Words in the names of slots that identify a thing or place. There another value means another
# thing, while a category may be given by a synonym.
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

    `today` is the date on which the conversations take place, to which "tomorrow" is relative. By
    default it is the earliest ISO date in each conversation.
    """
    return [_judge_turn(turn, task, today) for turn in turns]


def _judge_turn(turn: Turn, task: Task, today: date | None) -> Verdict:
    if verdict := settled(turn):
        return verdict
    prediction, reference = turn.prediction, turn.reference
    assert isinstance(prediction, ToolCall)  # otherwise `settled` gave a verdict
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
    reference_message = str(turn.reference.arguments[key])
    fault = contradiction(message, reference_message, state, task, today)
    fault = fault or off_the_point(message, reference_message, state, task, today)
    if fault:
        return Verdict(False, fault.reason, fault.evidence)
    facts = told(message, state, today)
    return Verdict(
        True,
        "reasonable: responds, and contradicts no fact of the conversation",
        f"holds {', '.join(facts)}" if facts else "holds no fact that was looked up or said",
    )


class _Slot(NamedTuple):
    """An argument's key, its JSON Schema, and the context in which it is read."""

    key: str
    schema: dict[str, Any]
    said: list[str]
    today: date
    rubric: str


def _judge_arguments(turn: Turn, prediction: ToolCall, task: Task, today: date) -> Verdict:
    tool = task.tool(prediction.name)
    schema = tool.parameters if tool else {}
    dialogue = read_state(turn.prefix, task).dialogue
    reference = turn.reference.arguments
    differences = []  # differences from the reference that are acceptable
    for key in sorted(reference.keys() | prediction.arguments.keys()):
        slot = _Slot(
            key,
            schema.get("properties", {}).get(key, {}),
            dialogue,
            today,
            task.judge_instructions.lower(),
        )
        if key not in prediction.arguments:
            # Without an optional filter a search still finds the right thing.
            if key in schema.get("required", []):
                return Verdict(False, f"missing_argument: {key}", f"reference: {reference[key]!r}")
            differences.append(f"{key} is optional")
            continue
        value = prediction.arguments[key]
        if key not in reference:
            if value != slot.schema.get("default") and not _grounded(slot, str(value)):
                return Verdict(False, f"invented_argument: {key}={value!r}", "never mentioned")
            differences.append(f"{key}={value!r} is the default or was mentioned")
        elif not _same(slot, reference[key], value):
            return Verdict(
                False, f"wrong_argument: {key}={value!r}", f"reference: {reference[key]!r}"
            )
        elif value != reference[key]:
            differences.append(f"{key}: {value!r} is {reference[key]!r}")
    return Verdict(
        True, "same_intent: every argument means what the reference's means", "; ".join(differences)
    )


def _same(slot: _Slot, reference: Any, predicted: Any) -> bool:
    if (
        reference == predicted
        or isinstance(reference, list | dict)
        or isinstance(predicted, list | dict)
    ):
        return bool(reference == predicted)
    a, b = str(reference), str(predicted)
    match _kind(slot, a):
        case "boolean":
            equal = (a.lower() in YES) == (b.lower() in YES)
        case "number":
            equal = find_numbers(a) == find_numbers(b)
        case "time":
            equal = _meet(find_times(a), find_times(b))
        case "date":
            equal = _meet(find_dates(a, slot.today), find_dates(b, slot.today))
        case "entity":
            equal = _same_entity(a, b)
        case "category":
            equal = _same_category(a, b, slot)
    return equal


def _kind(slot: _Slot, value: str) -> Kind:
    """The kind of value in a slot, by its schema or, second, by the form of a value."""
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
    """Whether a value consists only of a date or time."""
    return bool(mentions) and set(words(blank(value, mentions))) <= FILLERS


def _meet(reference: list[Any], predicted: list[Any]) -> bool:
    return bool(predicted) and any(w.meanings & g.meanings for w in reference for g in predicted)


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


def _same_category(reference: str, predicted: str, slot: _Slot) -> bool:
    """Whether a value is a synonym, which it is not if only the reference's was mentioned."""
    if "enum" not in slot.schema and (
        similar(reference, predicted) or set(words(reference)) & set(words(predicted))
    ):
        return True
    # Rubrics list values that count as equal: "Barbecue/American".
    pair = reference.lower(), predicted.lower()
    if any("/".join(order) in slot.rubric for order in (pair, pair[::-1])):
        return True
    for_wanted, for_given = _last_said(reference, slot.said), _last_said(predicted, slot.said)
    if for_given is None:
        # Enumerations have no synonyms: another value that nobody mentioned is invented.
        return for_wanted is None and "enum" not in slot.schema
    return for_wanted is None or for_given >= for_wanted


def _last_said(value: str, said: list[str]) -> int | None:
    # Prefixes instead of `similar`: "moderately" mentions "moderate", but "inexpensive" does not
    # mention "expensive".
    target = words(value)
    for index in range(len(said) - 1, -1, -1):
        spoken = words(said[index])
        if all(any(word.startswith(part) for word in spoken) for part in target):
            return index
    return None


def _grounded(slot: _Slot, value: str) -> bool:
    """Whether anybody mentioned the value of an argument that the reference does not have."""
    text = " . ".join(slot.said)
    match _kind(slot, value):
        case "boolean":
            mentioned = set(key_words(slot.key)[-1:]) <= set(words(text))
        case "number":
            implied = {n for word, n in IMPLIED_COUNTS.items() if word in words(text)}
            mentioned = find_numbers(value) <= find_numbers(text) | implied
        case "time":
            mentioned = _meet(find_times(value), find_times(text))
        case "date":
            dates = find_dates(value, slot.today)
            mentioned = any(slot.today in day.meanings for day in dates)
            mentioned = mentioned or _meet(dates, find_dates(text, slot.today))
        case "entity":
            mentioned = find_words(value, text) is not None
        case "category":
            mentioned = _last_said(value, slot.said) is not None
    return mentioned


def _earliest_date(messages: Sequence[Message]) -> date:
    dates = []
    for message in messages:
        text = message.tool_call.arguments_json if message.tool_call else str(message.content)
        for year, month, day in re.findall(r"\b((?:19|20)\d\d)-(\d\d)-(\d\d)\b", text):
            try:
                dates.append(date(int(year), int(month), int(day)))
            except ValueError:
                continue
    # Without any date, an arbitrary day still lets relative words be compared with each other.
    return min(dates, default=date(2000, 1, 3))
