"""What traces say about their calls, given the tools that a task declares.

Nothing here knows a domain: tools, parameters, and enumerated values come from the task's schemas;
other values and their frequencies come from the traces.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any, NamedTuple

from tft.core.conversation import Conversation, Tool, ToolCall, result_of
from tft.core.task import RESPOND, Task
from tft.standins.reading.facts import blank, find_dates, find_numbers, find_times, similar, words

ALIKE = 0.75  # the least similarity of two parameter names that count as spellings of one
CLOCK, DATE = re.compile(r"\d\d:\d\d"), re.compile(r"\d{4}-\d\d-\d\d")
OVERLAP = 0.5  # the least share of a parameter's values that another has if the two are the same


def followed_by(conversation: Conversation, index: int) -> list[dict[str, Any]] | None:
    """The items of the result right after a message, or None if no result follows."""
    following = conversation.messages[index + 1 : index + 2]
    return result_of(following[0]) if following else None


def parameters(tool: Tool) -> dict[str, dict[str, Any]]:
    """The JSON Schemas of a tool's parameters, by name."""
    properties: dict[str, dict[str, Any]] = tool.parameters.get("properties", {})
    return properties


def required(tool: Tool) -> set[str]:
    """The parameters that a call may not leave out."""
    return set(tool.parameters.get("required", []))


def services(task: Task) -> list[Tool]:
    """All tools except `respond_to_user`."""
    return [tool for tool in task.tools if tool.name != RESPOND]


class Heard(NamedTuple):
    """What a text mentions, in comparable form: words, times, dates, and all other numbers."""

    words: str
    times: list[frozenset[int]]
    dates: set[str]
    numbers: set[float]

    def mentions(self, value: str) -> bool:
        """Whether the text mentions a value in any of the ways in which people say it."""
        if CLOCK.fullmatch(value):
            return any(minutes(value) in meanings for meanings in self.times)
        if DATE.fullmatch(value):
            return value in self.dates
        if value.isdecimal():
            return float(value) in self.numbers
        return bool(spoken_words := " ".join(words(value))) and f" {spoken_words} " in self.words


@lru_cache(maxsize=100_000)
def hear(text: str, today: date) -> Heard:
    """Read a text as said on the day `today`."""
    times = find_times(text)
    remaining = blank(text, times)
    dates = find_dates(remaining, today)
    return Heard(
        f" {' '.join(words(text))} ",
        [
            frozenset(meaning for meaning in mention.meanings if isinstance(meaning, int))
            for mention in times
        ],
        {str(day) for mention in dates for day in mention.meanings},
        find_numbers(blank(remaining, dates)),
    )


def minutes(clock: str) -> int:
    """HH:MM as minutes since midnight."""
    hour, minute = clock.split(":")
    return 60 * int(hour) + int(minute)


@dataclass(frozen=True)
class Evidence:
    """Statistics over all traces of a scenario.

    Attributes:
        task: The task, with the declared tools.
        today: The day to which "tomorrow" refers: the earliest date in the traces.
        frequency: For each field, under its declared name, the share of results that have it.
        usual: For each (tool, parameter), the share of the tool's calls that give the parameter.
        values: For each parameter, all values in schemas and results.
        aliases: For each name that calls and results use, the declared parameter.
    """

    task: Task
    today: date
    frequency: dict[str, float]
    usual: dict[tuple[str, str], float]
    values: dict[str, set[str]]
    aliases: dict[str, str]
    _memory: dict[tuple[str, str], str | None] = field(default_factory=dict, repr=False)

    def declared(self, values: dict[str, Any]) -> dict[str, Any]:
        """The same values under declared names; values without a declared name are left out."""
        renamed = {self.aliases.get(name): value for name, value in values.items()}
        return {name: value for name, value in renamed.items() if name is not None}

    def renamed(self, values: dict[str, Any]) -> dict[str, Any]:
        """The same values under declared names; values without a declared name keep their own."""
        return {self.aliases.get(name, name): value for name, value in values.items()}

    def tool_of_result(self, items: Sequence[dict[str, Any]]) -> Tool | None:
        """The tool whose result this is: the one whose parameters, above all rare ones, it echoes.

        The result of a booking echoes the time of the booking, which the result of a search never
        does. That it also contains the parameters of a search says little, because every result
        does.
        """
        fields = set(self.declared(items[0])) if items else set()
        weights = {
            tool.name: sum(
                -math.log(self.frequency[name]) for name in fields & set(parameters(tool))
            )
            for tool in services(self.task)
            if required(tool) <= fields
        }
        return self._only_best(weights)

    def tool_of_arguments(self, arguments: Iterable[str]) -> Tool | None:
        """The tool that fits the (declared) names of some arguments best, or None if two do."""
        names = set(arguments)
        return self._only_best(
            {
                tool.name: len(names & set(parameters(tool))) - len(required(tool) - names)
                for tool in services(self.task)
                if names & set(parameters(tool))
            }
        )

    def is_clock(self, name: str) -> bool:
        """Whether all known values of a parameter are times of day."""
        known = self.values.get(name, set())
        return bool(known) and all(CLOCK.fullmatch(value) for value in known)

    def spoken_of(self, name: str, value: object, conversation: Conversation, index: int) -> bool:
        """Whether a value was mentioned anywhere before the message at `index`."""
        return any(
            hear(text, self.today).mentions(str(value)) for text in spoken(conversation, index)
        )

    def asked_for(self, name: str, value: object, conversation: Conversation, index: int) -> bool:
        """Whether the user mentioned a parameter's value or, if it is yes or no, its name."""
        spellings = [str(value)]
        if is_flag({str(value)}):
            spellings = [word for word in words(name.replace("_", " ")) if len(word) > 4]
        texts = [
            message.content
            for message in conversation.messages[:index]
            if message.content is not None and result_of(message) is None
        ]
        return any(hear(text, self.today).mentions(word) for text in texts for word in spellings)

    def spoken_last(self, name: str, conversation: Conversation, index: int) -> str | None:
        """The value of a parameter that was mentioned last before the message at `index`."""
        for text in spoken(conversation, index):
            value = self._mentioned(name, text)
            if value is not None:
                return value
        return None

    def _mentioned(self, name: str, text: str) -> str | None:
        """The value of a parameter that a text mentions: the last time, otherwise the longest."""
        key = name, text
        if key not in self._memory:
            heard, known = hear(text, self.today), self.values.get(name, set())
            if is_flag(known):
                self._memory[key] = None  # nobody says "True"
            elif self.is_clock(name):
                meant = sorted(
                    f"{t // 60:02}:{t % 60:02}" for times in heard.times[-1:] for t in times
                )
                usual = [time for time in meant if time in known]
                self._memory[key] = next(iter([*usual, *meant]), None)
            else:
                mentioned = [value for value in sorted(known) if heard.mentions(value)]
                self._memory[key] = max(mentioned, key=len, default=None)
        return self._memory[key]

    def _only_best(self, scores: dict[str, float]) -> Tool | None:
        best = sorted(scores, key=lambda name: -scores[name])
        if not best or (len(best) > 1 and scores[best[0]] == scores[best[1]]):
            return None
        return self.task.tool(best[0])


def collect(conversations: Sequence[Conversation], task: Task) -> Evidence:
    """Collect the statistics over all traces."""
    results = [
        (call, items)
        for conversation in conversations
        for index, call in conversation.turns()
        if (items := followed_by(conversation, index))
    ]
    aliases = _aliases(task, results)
    evidence = Evidence(task, _today(conversations), {}, {}, enumerated(task), aliases)
    fields: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    counted: Counter[tuple[str, str]] = Counter()
    for call, items in results:
        fields.update(evidence.declared(items[0]).keys())
        for item in items:
            for name, value in evidence.declared(item).items():
                evidence.values[name].add(str(value))
        arguments = evidence.declared(call.arguments)
        tool = evidence.tool_of_arguments(arguments)
        if tool and required(tool) <= set(arguments):
            calls[tool.name] += 1
            counted.update((tool.name, name) for name in arguments)
    evidence.frequency.update({name: count / len(results) for name, count in fields.items()})
    evidence.usual.update(
        {(tool, name): count / calls[tool] for (tool, name), count in counted.items()}
    )
    return evidence


def enumerated(task: Task) -> defaultdict[str, set[str]]:
    """The values that the schemas of services list, by parameter."""
    values: defaultdict[str, set[str]] = defaultdict(set)
    for tool in services(task):
        for name, schema in parameters(tool).items():
            values[name].update(map(str, schema.get("enum", [])))
    return values


def _today(conversations: Sequence[Conversation]) -> date:
    dates = [
        value
        for conversation in conversations
        for message in conversation.messages
        for item in (result_of(message) or [])
        for value in item.values()
        if isinstance(value, str) and DATE.fullmatch(value)
    ]
    # Without any date, an arbitrary day still lets relative words be compared with each other.
    return date.fromisoformat(min(dates, default="2000-01-03"))


def _aliases(
    task: Task, results: Sequence[tuple[ToolCall, list[dict[str, Any]]]]
) -> dict[str, str]:
    """The declared parameter for each name that traces use, including declared names.

    Evidence, from strong to weak: a call's value comes back in the result under a declared name;
    most values of the unknown name are values of the declared one; the names have similar
    spellings.
    """
    known = {name for tool in services(task) for name in parameters(tool)}
    values = enumerated(task)
    echoes: dict[str, Counter[str]] = defaultdict(Counter)
    for call, items in results:
        for name, value in call.arguments.items():
            values[name].add(str(value))
            echoes[name].update(
                field
                for field in known
                if all(field in item and similar(str(item[field]), str(value)) for item in items)
            )
        for item in items:
            for name, value in item.items():
                values[name].add(str(value))
    aliases = {name: name for name in known}
    for name in sorted(values.keys() - known):
        overlap = {
            declared: len(values[name] & values[declared]) / len(values[name])
            for declared in known
            if not is_flag(values[declared])
        }
        spelling = {declared: SequenceMatcher(None, name, declared).ratio() for declared in known}
        if echoes[name]:
            aliases[name] = max(
                sorted(echoes[name]),
                key=lambda declared: (echoes[name][declared], spelling[declared]),
            )
        elif (
            (best := max(sorted(overlap), key=lambda declared: overlap[declared], default=""))
            and (overlap[best] >= OVERLAP)
        ) or spelling[
            best := max(sorted(spelling), key=lambda declared: spelling[declared])
        ] >= ALIKE:
            aliases[name] = best
    return aliases


def is_flag(values: set[str]) -> bool:
    """Whether the values are yes and no, which do not identify a parameter."""
    return {value.lower() for value in values} <= {"true", "false"}


def spoken(conversation: Conversation, index: int) -> Iterator[str]:
    """Yield everything said before a message, latest first; tool results are not speech."""
    for message in reversed(conversation.messages[:index]):
        if message.tool_call is None:
            if result_of(message) is None:
                yield str(message.content)
        else:
            texts = [v for v in message.tool_call.arguments.values() if isinstance(v, str)]
            if len(texts) == len(message.tool_call.arguments) == 1:
                yield texts[0]
