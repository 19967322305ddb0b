"""Phrases with choices: what users and agents say, given what they mean.

A rule is a list of phrases. In a phrase, `(a|b)` is a choice, `<rule>` another rule, and `{slot}` a
value. Rules are looked up from the most to the least specific: `offer@Hotels_1` before `offer`.
"""

import random
import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from importlib.resources import files

from ruamel.yaml import YAML

from tft.core.errors import InputError

_CHOICE = re.compile(r"\(([^()]*)\)")
_RULE = re.compile(r"<([^<>]+)>")
_VALUE = re.compile(r"\{(\w+)\}")
_NUMBERS = "zero one two three four five six seven".split()


class Grammar:
    """Rules by name, and the date to which words such as "tomorrow" are relative."""

    def __init__(self, rules: Mapping[str, Sequence[str]], today: date) -> None:
        """`today` is the date on which the dialogue takes place."""
        self.rules, self.today = rules, today

    def has(self, *names: str) -> str | None:
        """The first of these rules that exists, or None."""
        return next((name for name in names if name in self.rules), None)

    def say(self, names: Sequence[str], values: Mapping[str, str], rng: random.Random) -> str:
        """A phrase of the first of these rules that exists, with choices made and values filled in.

        Raises:
            InputError: none of these rules exists.
        """
        name = self.has(*names)
        if name is None:
            raise InputError(f"no rule for {' or '.join(names)}")
        text = self._expand(rng.choice(self.rules[name]), rng)
        spoken = {key: spoken_value(value, self.today, rng) for key, value in values.items()}
        return _VALUE.sub(lambda match: spoken[match[1]], text)

    def _expand(self, text: str, rng: random.Random) -> str:
        while match := _CHOICE.search(text):
            choice = rng.choice(match[1].split("|"))
            text = text[: match.start()] + choice + text[match.end() :]
        while match := _RULE.search(text):
            phrase = self._expand(rng.choice(self.rules[match[1]]), rng)
            text = text[: match.start()] + phrase + text[match.end() :]
        return text


def built_in(today: date) -> Grammar:
    """The grammar that ships with the package (grammar.yaml)."""
    text = files("tft.standins.simulation").joinpath("grammar.yaml").read_text(encoding="utf-8")
    return Grammar(YAML(typ="safe").load(text), today)


def spoken_value(value: str, today: date, rng: random.Random) -> str:
    """A value as somebody might say it; only dates and times change."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return _spoken_day(date.fromisoformat(value), today, rng)
    if re.fullmatch(r"\d\d:\d\d", value):
        return _spoken_time(value, rng)
    return value


def number_word(value: str) -> str:
    """A number up to seven as a word; other values stay."""
    return _NUMBERS[int(value)] if value.isdigit() and int(value) < len(_NUMBERS) else value


def _spoken_day(day: date, today: date, rng: random.Random) -> str:
    ending = "th" if 10 < day.day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    forms = [f"{day:%B} {day.day}{ending}", f"the {day.day}{ending} of {day:%B}"]
    near = (day - today).days
    if near == 0:
        forms = ["today"]
    elif near == 1:
        forms += ["tomorrow", "tomorrow"]
    elif near == 2:
        forms += ["the day after tomorrow"]
    if 1 < near < 7 and day < today + timedelta(6):
        forms += [f"{day:%A}"]
    return rng.choice(forms)


def _spoken_time(value: str, rng: random.Random) -> str:
    hour, minute = map(int, value.split(":"))
    short, half = hour % 12 or 12, "am" if hour < 12 else "pm"
    clock = f"{short}:{minute:02} {half}"
    forms = [clock, clock]
    if not minute:
        forms += [f"{short} {half}", f"{short} o'clock in the {_part(hour)}"]
    if minute == 30:
        forms.append(f"half past {short} in the {_part(hour)}")
    if minute == 15:
        forms.append(f"quarter past {short} in the {_part(hour)}")
    return rng.choice(forms)


def _part(hour: int) -> str:
    return "morning" if hour < 12 else "afternoon" if hour < 17 else "evening"


def tidy(text: str) -> str:
    """A message made of phrases, with spaces, capitals, articles, and plurals corrected."""
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r" ([.,?!])", r"\1", text)
    text = re.sub(r"\ba (?=(?!one)[aeioAEIO])", "an ", text)
    text = re.sub(r"\b(1|one) (people|persons)\b", r"\1 person", text)
    text = re.sub(r"\b(1|one) (room|night|day|seat|ticket|star)s\b", r"\1 \2", text)
    return re.sub(r"(^|[.?!:] )([a-z])", lambda match: match[1] + match[2].upper(), text)
