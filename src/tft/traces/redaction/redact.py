"""Redacts a logged trace before any part of it is written, shown, or sent.

All content of a log line is redacted before the reader of its format sees it. What readers keep
beside the messages (system messages, reasoning, metadata, ids) and what they quote when they refuse
a trace is therefore clean, and readers need not know about redaction.

- The same thing has the same placeholder, such as <EMAIL_1>, throughout a trace and in any
  spelling, so that a call still copies what the user said. Equal strings stay equal.
- The text of job_description.json is public: enumerations, tool names, the company's hotline.
- A text that is JSON stays JSON, and nothing but the content of its strings changes. Numbers stay
  unless a text or a field shows that the same digits are personal.

While logs that interleave dialogues are sorted, a temporary SQLite file (tft.traces.lines) holds
them unredacted. It has no name and disappears with the process.
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
"""The least length of a part of a name, or of a field's value; shorter ones are too ambiguous."""

# Strings and numbers in JSON. In valid JSON nothing else contains a quotation mark or a digit.
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?')


class Redacted(NamedTuple):
    """A JSON value without personal data, and the number of replacements by entity."""

    value: Any
    counts: Counter[str]


Clean = Callable[[Any], Redacted]


def cleaner(params: RedactConfig, task: Task) -> Clean:
    """A function that redacts a trace, given as a JSON value.

    Redacting twice changes nothing more. Placeholders are numbered within a trace, in an order that
    does not reveal what they stand for.

    Raises:
        InputError: a region or a locale in params does not exist. The returned function raises it
            for a trace that is nested too deeply.
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
            # Replacing one thing may uncover another, such as "1 415 ..." after a card number.
            while trace.learns_from(value):
                value = trace.without(value)
        except RecursionError as error:
            raise InputError("nested too deeply: personal data cannot be looked for") from error
        return Redacted(value, trace.counts)

    return clean


def as_it_stands(value: Any) -> Redacted:
    """Redact nothing."""
    return Redacted(value, Counter())


class _Trace:
    """The personal data found in one trace, and their placeholders."""

    def __init__(
        self, find: Find, fields: dict[str, str], is_public: Callable[[str], bool]
    ) -> None:
        self.find, self.fields, self.is_public = find, fields, is_public
        self.counts: Counter[str] = Counter()
        self.numbers: Counter[str] = Counter()  # the highest placeholder number of each entity
        self.placeholders: dict[tuple[str, str], str] = {}  # by entity and key
        self.spellings: dict[str, str] = {}  # placeholder by spelling
        self.pattern = re.compile("(?!)")
        self.found: dict[str, list[Found]] = {}  # by text

    def learns_from(self, value: Any) -> bool:
        """Search for personal data, and return whether there are any."""
        texts = dict.fromkeys(_strings(value))
        for text in texts:
            for entity, number in PLACEHOLDER.findall(text):
                self.numbers[entity] = max(self.numbers[entity], int(number))
        learned = [
            (entity, text.casefold(), text)
            for entity, text in _in_fields(value, self.fields)
            if len(text) >= SHORTEST
            and not PLACEHOLDER.fullmatch(text)
            and not self.is_public(text)
        ]
        for text in texts:
            if text not in self.found:
                self.found[text] = [
                    place
                    for place in self.find(text)
                    if not self.is_public(text[place.start : place.end])
                ]
            learned += [(e, key, text[start:end]) for start, end, e, key in self.found[text]]
        # Longest first, so that "Ann" alone is recognized as part of "Ann Smith".
        for entity, key, text in sorted(learned, key=lambda entry: -len(entry[2])):
            self._learn(entity, key, text)
        self.pattern = re.compile(_whole(sorted(self.spellings, key=len, reverse=True)))
        return bool(learned)

    def _learn(self, entity: str, key: str, text: str) -> None:
        if text in self.spellings:
            self.placeholders.setdefault((entity, key), self.spellings[text])
        if (entity, key) not in self.placeholders:
            self.numbers[entity] += 1
            self.placeholders[entity, key] = f"<{entity}_{self.numbers[entity]}>"
        placeholder = self.placeholders[entity, key]
        spellings = [text, text.upper()]
        if " " in text or entity != "PERSON":  # the word "will" is not a spelling of the name Will
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
        """The value with placeholders for all personal data found so far."""
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
        places += [
            (*match.span(), self.spellings[match[0]]) for match in self.pattern.finditer(text)
        ]
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
    """A pattern for any of the spellings, as whole words only."""
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
    """Yield all strings of a JSON value, including keys and the strings of texts that are JSON."""
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
    """Yield (entity, text) of all strings and numbers in the fields, including those in lists."""
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
