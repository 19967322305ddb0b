"""Dialogues with other values: every name, city and title consistently replaced by an unseen one.

A model that only ever sees a few hundred real names learns them by heart instead of reading them;
one that never sees a name twice has to copy it from where it stands in the conversation.
"""

import random
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

ONSETS = "b br c ch cr d dr f fl g gr h j k l m n p pl qu r s sh sl st t th tr v w y z".split()
VOWELS = "a a e e i i o o u u ai ea ee ia oo ou".split()
CODAS = ["", "", "", "", "", *"ck d ft ll m n nd ng nt p r rd rk s sk st t x".split()]
JOINTS = [" ", " ", " ", " ", " ", " & ", "-", " of ", " the ", " de "]


def invented_value(rng: random.Random) -> str:
    """A name nobody bears: one to four words of made-up syllables, now and then with a number."""
    words = []
    for _ in range(rng.choices([1, 2, 3, 4], [30, 40, 20, 10])[0]):
        syllables = rng.choices([1, 2, 3], [25, 55, 20])[0]
        word = "".join(
            rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(syllables)
        )
        words.append(word.capitalize() + ("'s" if rng.random() < 0.05 else ""))
    if rng.random() < 0.08:
        words.insert(rng.choice([0, len(words)]), str(rng.randint(1, 999)))
    name = words[0]
    for word in words[1:]:
        name += rng.choice(JOINTS) + word
    return name


def slot_values(dialogues: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    """The values of each slot over all dialogues, sorted: what real values are replaced by."""
    values: dict[str, set[str]] = defaultdict(set)
    for dialogue in dialogues:
        for slot, value in _values(dialogue):
            if _is_name(value):
                values[slot].add(value)
    return {slot: sorted(found) for slot, found in values.items()}


def vary(
    dialogue: dict[str, Any],
    schema: dict[str, Any],
    pool: dict[str, list[str]],
    invented_share: float,
    rng: random.Random,
) -> dict[str, Any]:
    """A copy of an SGD dialogue with the values of its open slots replaced throughout.

    Dates, times, numbers and categorical values stay, and so do values that the dialogue also
    spells in another way (LA for Los Angeles): the mapping between the spellings is knowledge.

    Args:
        dialogue: raw, as `sgd.read_dialogues` yields it.
        schema: of its service, as `sgd.read_schemas` gives it.
        pool: replacements by slot, see `slot_values`.
        invented_share: of the values replaced by invented words instead of ones from the pool.
        rng: where all randomness comes from.
    """
    closed = {slot["name"] for slot in schema["slots"] if slot["is_categorical"]}
    respelt = {
        canonical
        for turn in dialogue["turns"]
        for action in turn["frames"][0]["actions"]
        for value, canonical in zip(action["values"], action["canonical_values"], strict=False)
        if value.lower() != canonical.lower()
    }
    replacements: dict[str, str] = {}
    for slot, value in _values(dialogue):
        if slot in closed or value in respelt or not _is_name(value):
            continue
        if value.lower() not in replacements:
            invent = rng.random() < invented_share or slot not in pool
            new = invented_value(rng) if invent else rng.choice(pool[slot])
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
    """Whether a value names something: no number, date, time, flag or word in lower case."""
    return len(value) > 2 and value[0].isupper() and value not in ("True", "False")
