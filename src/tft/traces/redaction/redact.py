"""Personal data out of a logged trace, before anything of it is written, shown or sent.

Everything that a log line holds is redacted before the reader of its format sees it: what readers
keep beside the messages (system messages, thoughts, metadata, ids), and what they quote when they
refuse a trace, is clean because of that, and no format needs to know.

- One thing is one placeholder, such as <EMAIL_1>, wherever it stands in a trace and in whatever
  spelling: what the user says is still what the call copies. Equal strings stay equal.
- What job_description.json says is public: enumerations, names of tools, the company's hotline.
- A text that is JSON stays JSON, and stays as it was but for what its strings say. Numbers are left
  alone unless a text or a field says that the same digits are personal.

While logs that interleave dialogues are sorted, a temporary file of SQLite's (tft.traces.lines)
holds them raw; it has no name and goes with the process.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from tft.core.errors import InputError
from tft.core.task import Task
from tft.traces.config import RedactConfig
from tft.traces.redaction.personal import NO_NAMES, Find, Found, finder

PLACEHOLDER = re.compile(r"<([A-Z][A-Z_]*)_([1-9]\d*)>")
SHORTEST = 3
"""Characters of a name's part, or of what a field holds; shorter ones are many other things too."""

# Of a JSON text: strings and numbers. In valid JSON nothing else holds a quotation mark or a digit.
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?')


class Redacted(NamedTuple):
    """A JSON value without personal data, and how many places were replaced, by entity."""

    value: Any
    counts: Counter[str]


Clean = Callable[[Any], Redacted]


def cleaner(params: RedactConfig, task: Task) -> Clean:
    """A function that redacts a trace: any JSON value, in which one thing is one placeholder.

    Done twice it changes nothing more. Placeholders are numbered within a trace, by no order that
    tells what they stand for.

    Raises:
        InputError: params name a region or a locale that does not exist; the function: a trace is
            nested too deeply.
    """
    if not params.entities and not params.fields:
        return as_it_stands
    find = finder(params)
    public = "\n".join(text for text in _strings([task.description, task.tools_openai()]))

    def is_public(text: str) -> bool:
        return re.search(_whole([text]), public, re.IGNORECASE) is not None

    def clean(value: Any) -> Redacted:
        trace = _Trace(find, params.fields, is_public)
        try:
            # What was replaced may uncover something else: "1 415 ..." behind a card's number.
            while trace.learns_from(value):
                value = trace.without(value)
        except RecursionError as error:
            raise InputError("nested too deeply: personal data cannot be looked for") from error
        return Redacted(value, trace.counts)

    return clean


def as_it_stands(value: Any) -> Redacted:
    """Redacts nothing."""
    return Redacted(value, Counter())


class _Trace:
    """What is known to be personal in one trace, and what stands in its place."""

    def __init__(
        self, find: Find, fields: dict[str, str], is_public: Callable[[str], bool]
    ) -> None:
        self.find, self.fields, self.is_public = find, fields, is_public
        self.counts: Counter[str] = Counter()
        self.numbers: Counter[str] = Counter()  # the highest of each entity's placeholders
        self.placeholders: dict[tuple[str, str], str] = {}  # by entity and key
        self.spellings: dict[str, str] = {}  # of what is known, wherever it stands
        self.pattern = re.compile("(?!)")
        self.found: dict[str, list[Found]] = {}  # by text

    def learns_from(self, value: Any) -> bool:
        """Look for what is personal; False: nothing in it is."""
        texts = dict.fromkeys(_strings(value))
        for text in texts:
            for entity, number in PLACEHOLDER.findall(text):
                self.numbers[entity] = max(self.numbers[entity], int(number))
        learnt = [
            (entity, text.casefold(), text)
            for entity, text in _in_fields(value, self.fields)
            if len(text) >= SHORTEST
            and not PLACEHOLDER.fullmatch(text)
            and not self.is_public(text)
        ]
        for text in texts:
            if text not in self.found:
                self.found[text] = [
                    one for one in self.find(text) if not self.is_public(text[one.start : one.end])
                ]
            learnt += [(e, key, text[start:end]) for start, end, e, key in self.found[text]]
        # Whole names first: "Ann" alone is then known to be of "Ann Smith".
        for entity, key, text in sorted(learnt, key=lambda one: -len(one[2])):
            self._learn(entity, key, text)
        self.pattern = re.compile(_whole(sorted(self.spellings, key=len, reverse=True)))
        return bool(learnt)

    def _learn(self, entity: str, key: str, text: str) -> None:
        if text in self.spellings:
            self.placeholders.setdefault((entity, key), self.spellings[text])
        if (entity, key) not in self.placeholders:
            self.numbers[entity] += 1
            self.placeholders[entity, key] = f"<{entity}_{self.numbers[entity]}>"
        placeholder = self.placeholders[entity, key]
        spellings = [text, text.upper()]
        if " " in text or entity != "PERSON":  # "will" is none of Will's
            spellings += [text.lower(), text.title()]
        if entity in ("PHONE", "CARD", "SSN"):
            spellings.append(re.sub(r"\D", "", text))
        if entity == "PERSON":
            spellings += [
                part
                for part in text.split()
                if len(part) >= SHORTEST
                and part[0].isupper()
                and part not in NO_NAMES
                and not self.is_public(part)
            ]
        for spelling in spellings:
            self.spellings.setdefault(spelling, placeholder)

    def without(self, value: Any) -> Any:
        """The value with placeholders for all that is known."""
        match value:
            case dict():
                return {self._in_text(key): self.without(item) for key, item in value.items()}
            case list():
                return [self.without(item) for item in value]
            case str():
                return self._in_json(value) if _is_json(value) else self._in_text(value)
            case int() | float() if str(value) in self.spellings:
                return self._counted(self.spellings[str(value)])
        return value

    def _in_json(self, text: str) -> str:
        def literal(match: re.Match[str]) -> str:
            old = json.loads(match[0])
            new = self.without(old)
            return match[0] if new == old else json.dumps(new, ensure_ascii=False)

        return _LITERAL.sub(literal, text)

    def _in_text(self, text: str) -> str:
        places = [
            (start, end, self.placeholders[entity, key])
            for start, end, entity, key in self.found.get(text, [])
        ]
        places += [(*one.span(), self.spellings[one[0]]) for one in self.pattern.finditer(text)]
        pieces, done = [], 0
        for start, end, placeholder in sorted(places, key=lambda place: (place[0], -place[1])):
            if start >= done:
                pieces += [text[done:start], self._counted(placeholder)]
                done = end
        return "".join([*pieces, text[done:]])

    def _counted(self, placeholder: str) -> str:
        self.counts[placeholder[1:].rpartition("_")[0]] += 1
        return placeholder


def _whole(spellings: Iterable[str]) -> str:
    """A pattern for any of them, none of them a part of a word."""
    return rf"(?<!\w)(?:{'|'.join(map(re.escape, spellings)) or '(?!)'})(?!\w)"


def _is_json(text: str) -> bool:
    if text.lstrip()[:1] not in ("{", "[", '"'):
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _strings(value: Any) -> Iterator[str]:
    """All strings of a JSON value, keys and those of texts that are JSON themselves included."""
    match value:
        case dict():
            for key, item in value.items():
                yield key
                yield from _strings(item)
        case list():
            for item in value:
                yield from _strings(item)
        case str():
            if _is_json(value):
                for literal in _LITERAL.findall(value):
                    if literal.startswith('"'):
                        yield from _strings(json.loads(literal))
            else:
                yield value


def _in_fields(value: Any, fields: dict[str, str], entity: str = "") -> Iterator[tuple[str, str]]:
    """(entity, text) of whatever strings and numbers stand in the fields, in lists there too."""
    match value:
        case dict():
            for key, item in value.items():
                yield from _in_fields(item, fields, fields.get(key, ""))
        case list():
            for item in value:
                yield from _in_fields(item, fields, entity)
        case str() if _is_json(value):
            yield from _in_fields(json.loads(value), fields, entity)
        case bool() | None:
            pass
        case _ if entity:
            yield entity, str(value)
