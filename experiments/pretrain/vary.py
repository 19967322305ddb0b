"""Dialogues with other values: names, times, and dates are replaced consistently.

A model that sees only a few hundred real names memorizes them. One that never sees a name twice has
to copy it from the conversation.
"""

import random
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

ONSETS = "b br c ch cr d dr f fl g gr h j k l m n p pl qu r s sh sl st t th tr v w y z".split()
VOWELS = "a a e e i i o o u u ai ea ee ia oo ou".split()
CODAS = ["", "", "", "", "", *"ck d ft ll m n nd ng nt p r rd rk s sk st t x".split()]
MOMENTS = {"time": re.compile(r"\d\d:\d\d"), "date": re.compile(r"\d{4}-\d\d-\d\d")}
DAYS = ("today", "tomorrow")

JOINTS = [" ", " ", " ", " ", " ", " & ", "-", " of ", " the ", " de "]


def invented_value(rng: random.Random) -> str:
    """An invented name: one to four words of made-up syllables, some repeated or with a number."""
    words = []
    for _ in range(rng.choices([1, 2, 3, 4], [30, 40, 20, 10])[0]):
        syllables = rng.choices([1, 2, 3], [25, 55, 20])[0]
        word = "".join(
            rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(syllables)
        )
        words.append(word.capitalize() + ("'s" if rng.random() < 0.05 else ""))
    if rng.random() < 0.08:
        words.insert(rng.choice([0, len(words)]), str(rng.randint(1, 999)))
    if rng.random() < 0.08:  # as in "Bora Bora", where a model that copies may run in circles
        words.insert(1, words[0])
    name = words[0]
    for word in words[1:]:
        name += rng.choice(JOINTS) + word
    return name


class Pool(NamedTuple):
    """Replacements for real values, from the same dialogues."""

    names: dict[str, list[str]]
    """For each slot, every value that names something."""

    spellings: dict[str, dict[str, list[str]]]
    """For each kind (time, date) and canonical value, every way in which it is said."""


def slot_values(dialogues: Iterable[dict[str, Any]]) -> Pool:
    """Collect the names, times, and dates in dialogues; every list is sorted."""
    names: dict[str, set[str]] = defaultdict(set)
    spellings: dict[str, dict[str, set[str]]] = {kind: defaultdict(set) for kind in MOMENTS}
    for dialogue in dialogues:
        for slot, value in _values(dialogue):
            if _is_name(value):
                names[slot].add(value)
        for spelling, canonical in _said(dialogue):
            kind = _moment(canonical)
            if kind and _is_distinct(spelling):
                spellings[kind][canonical].add(spelling)
    return Pool(
        {slot: sorted(values) for slot, values in names.items()},
        {
            kind: {moment: sorted(ways) for moment, ways in sorted(values.items())}
            for kind, values in spellings.items()
        },
    )


def vary(
    dialogue: dict[str, Any],
    schema: dict[str, Any],
    pool: Pool,
    invented_share: float,
    rng: random.Random,
) -> dict[str, Any]:
    """A copy of an SGD dialogue with the values of its open slots replaced consistently.

    Names are replaced by other real names or by invented ones. Times and dates are replaced by
    others, each said in a way in which people say it ("half past 6 in the evening" in an utterance,
    "18:30" in the call), because a model learns to read them from many such pairs. Numbers and
    categorical values stay, and so do names that the dialogue also spells in another way (LA for
    Los Angeles), because this mapping is knowledge.

    Args:
        dialogue: A raw dialogue, as `sgd.read_dialogues` yields it.
        schema: The schema of its service, as `sgd.read_schemas` returns it.
        pool: The replacements, see `slot_values`.
        invented_share: The share of names that are replaced by invented ones instead of names from
            the pool.
        rng: The source of all randomness.
    """
    closed = {slot["name"] for slot in schema["slots"] if slot["is_categorical"]}
    spoken = _said(dialogue)
    respelled = {canonical for value, canonical in spoken if value.lower() != canonical.lower()}
    replacements = _other_moments(spoken, pool, rng)
    for slot, value in _values(dialogue):
        if slot in closed or value in respelled or not _is_name(value):
            continue
        if value.lower() not in replacements:
            invent = rng.random() < invented_share or slot not in pool.names
            new = invented_value(rng) if invent else rng.choice(pool.names[slot])
            replacements[value.lower()] = new
    if not replacements:
        return dialogue
    longest_first = sorted(replacements, key=len, reverse=True)
    pattern = re.compile(
        rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE
    )

    def replace(text: str) -> str:
        def new(match: re.Match[str]) -> str:
            value = replacements[match[0].lower()]
            return value.lower() if match[0].islower() else value

        return pattern.sub(new, text)

    turns = []
    for turn in dialogue["turns"]:
        frame = dict(turn["frames"][0])
        if "service_call" in frame:
            call = frame["service_call"]
            frame["service_call"] = {
                "method": call["method"],
                "parameters": {slot: replace(value) for slot, value in call["parameters"].items()},
            }
            frame["service_results"] = [
                {slot: replace(value) for slot, value in result.items()}
                for result in frame["service_results"]
            ]
        turns.append({**turn, "utterance": replace(turn["utterance"]), "frames": [frame]})
    return {**dialogue, "turns": turns}


def _other_moments(pairs: list[tuple[str, str]], pool: Pool, rng: random.Random) -> dict[str, str]:
    """Replacements of times and dates, by the replaced text in lower case."""
    ways: dict[str, set[str]] = defaultdict(set)
    meanings: dict[str, set[str]] = defaultdict(set)
    for value, canonical in pairs:
        ways[canonical].add(value.lower())
        meanings[value.lower()].add(canonical)
    replacements: dict[str, str] = {}
    for canonical, spoken in sorted(ways.items()):
        alternatives = pool.spellings.get(_moment(canonical) or "")
        if not alternatives or not all(
            _is_distinct(spelling) and len(meanings[spelling]) == 1 for spelling in spoken
        ):
            continue
        moment = rng.choices(
            list(alternatives), [len(spellings) for spellings in alternatives.values()]
        )[0]
        replacements |= {spelling: rng.choice(alternatives[moment]) for spelling in sorted(spoken)}
        replacements[canonical] = moment
    return replacements


def _moment(canonical: str) -> str | None:
    """Whether a canonical value of SGD is a time or a date, or None if it is neither."""
    return next((kind for kind, form in MOMENTS.items() if form.fullmatch(canonical)), None)


def _is_distinct(spelling: str) -> bool:
    """Whether a time or date can be found by this text, unlike "six" or "2"."""
    return len(spelling) > 2 and (not spelling.isalpha() or spelling.lower() in DAYS)


def _said(dialogue: dict[str, Any]) -> list[tuple[str, str]]:
    """(as said, canonical) of every value that an utterance mentions."""
    return [
        pair
        for turn in dialogue["turns"]
        for action in turn["frames"][0]["actions"]
        for pair in zip(action["values"], action["canonical_values"], strict=False)
        if action["slot"] != "intent"
    ]


def _values(dialogue: dict[str, Any]) -> Iterable[tuple[str, str]]:
    for turn in dialogue["turns"]:
        frame = turn["frames"][0]
        for action in frame["actions"]:
            if action["slot"] != "intent":
                yield from ((action["slot"], value) for value in action["canonical_values"])
        yield from frame.get("service_call", {}).get("parameters", {}).items()
        for result in frame.get("service_results", []):
            yield from result.items()


def _is_name(value: str) -> bool:
    """Whether a value is a name: not a number, date, time, flag, or word in lower case."""
    return len(value) > 2 and value[0].isupper() and value not in ("True", "False")
