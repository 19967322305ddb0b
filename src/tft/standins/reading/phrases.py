"""What an agent says, mined from traces: messages with blanks for values, and where they fit.

A message that a trace lost, or that belongs to another service, is composed anew from one that
stood in the same place elsewhere: after the same kind of event, before the same kind of answer.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from rapidfuzz import fuzz

from tft.core.conversation import Conversation, ToolCall, result_of
from tft.core.task import RESPOND, Task
from tft.standins.reading.evidence import CLOCK, DATE, Evidence, minutes
from tft.standins.reading.facts import Mention, blank, find_dates, find_times, words
from tft.standins.reading.labels import Vote

END = "end"
CLEARLY = math.log(3)
NAME = re.compile(r"(?<=[a-z,] )(?!I\b)[A-Z]\w+")  # a capital within a sentence

Calls = Mapping[int, ToolCall | None]
"""A conversation's calls by message index; None where nobody knows what was said."""


class Place(NamedTuple):
    """Where a message stands."""

    after: str  # what came before it: "user", or the tool whose result did, "!" if it was empty
    before: str  # what the agent does next: a tool's name, or END
    heard: str  # what the user said before, if anything
    answer: str  # what the user said next, if anything


class Phrase(NamedTuple):
    """A message with {blanks} for values, and where it stood."""

    template: str
    blanks: frozenset[str]
    place: Place
    trace: str


def place(one: Conversation, index: int, calls: Calls) -> Place:
    """Where the message at `index` stands, among calls already decided."""
    after, heard = "user", ""
    if index:
        previous = one.messages[index - 1]
        items = result_of(previous)
        caller = calls.get(index - 2)
        if items is not None and caller is not None:
            after = caller.name if items else f"{caller.name}!"
        heard = previous.content or "" if items is None else ""
    answer = one.messages[index + 1].content or "" if index + 1 < len(one.messages) else ""
    following = calls.get(index + 2)
    before = following.name if following else RESPOND if index + 2 in calls else END
    return Place(after, before, heard, answer)


def known_values(one: Conversation, index: int, calls: Calls, evidence: Evidence) -> dict[str, str]:
    """The values a message at `index` may speak of: of results and calls so far, the latest first.

    The call that follows the user's next words counts too: what it books was agreed on before.
    """
    values: dict[str, str] = {}
    for at, message in enumerate(one.messages[:index]):
        items = result_of(message)
        call = calls.get(at)
        if call is not None and call.name != RESPOND:
            values |= {name: str(value) for name, value in call.arguments.items()}
        elif items:
            values |= {name: str(value) for name, value in evidence.renamed(items[0]).items()}
    following = calls.get(index + 2)
    if following is not None and following.name != RESPOND:
        values |= {name: str(value) for name, value in following.arguments.items()}
    return values


class Domain:
    """Which messages belong to the task, told by their words.

    A naive Bayes classifier, taught by what traces give away themselves; see `_gives_away`.
    Messages that say nothing of either kind ("Have a nice day.") come out as belonging.
    """

    def __init__(self, examples: Iterable[tuple[set[str], bool]]) -> None:
        """Count the words of messages, each with whether it is foreign."""
        self.counts: tuple[Counter[str], Counter[str]] = Counter(), Counter()
        self.sizes = [0, 0]
        for said, foreign in examples:
            self.counts[foreign].update(said)
            self.sizes[foreign] += 1

    def is_foreign(self, said: set[str]) -> bool:
        """Whether words like these are clearly more likely in a foreign message."""
        if not all(self.sizes):
            return False
        odds = math.log(self.sizes[1] / self.sizes[0])
        for word in said:
            own, foreign = (
                (count[word] + 0.5) / (size + 1)
                for count, size in zip(self.counts, self.sizes, strict=True)
            )
            odds += math.log(foreign / own)
        return odds > CLEARLY


class Spoken(NamedTuple):
    """A message of a trace, read: what is left of it without values, and what that tells."""

    phrase: Phrase
    words: set[str]
    foreign: bool | None  # None: it does not say


def read(
    one: Conversation, votes: Mapping[int, Vote], known: set[str], evidence: Evidence
) -> dict[int, Spoken]:
    """The messages that a conversation still has, as phrases."""
    calls = {index: vote.call for index, vote in votes.items()}
    intact = all(
        vote.call == call for vote, (_, call) in zip(votes.values(), one.turns(), strict=True)
    )
    spoken = {}
    for index, call in calls.items():
        if call is not None and call.name == RESPOND:
            text = " ".join(map(str, call.arguments.values()))
            template = with_blanks(text, known_values(one, index, calls, evidence), evidence.today)
            blanks = frozenset(re.findall(r"\{(\w+)\}", template))
            rest = re.sub(r"\{\w+\}", "", template)
            spoken[index] = Spoken(
                Phrase(template, blanks, place(one, index, calls), one.id),
                set(words(rest)),
                _gives_away(
                    blank(rest, find_dates(rest, evidence.today)), intact or bool(blanks), known
                ),
            )
    return spoken


def known_words(conversations: Iterable[Conversation], task: Task) -> set[str]:
    """Every word of users, results and tools: none of them is the agent's to get wrong."""
    texts = [str(tool.to_openai()) for tool in task.tools]
    texts += [
        message.content for one in conversations for message in one.messages if message.content
    ]
    return {word for text in texts for word in words(text)}


def _gives_away(rest: str, belongs: bool, known: set[str]) -> bool | None:
    """Whether a message is foreign: it is if it names what no user and no tool ever mentions.

    Days, which everybody may name, are no longer in `rest`.
    """
    if any(word not in known for name in NAME.findall(rest) for word in words(name)):
        return True
    return False if belongs else None


def with_blanks(text: str, values: Mapping[str, str], today: date) -> str:
    """A message with the values it speaks of replaced by {their names}, longest values first."""
    text = re.sub(r"[{}]", "", text)
    for name, value in sorted(values.items(), key=lambda item: (-len(item[1]), item[0])):
        if CLOCK.fullmatch(value):
            text = _cut(text, find_times(text), minutes(value), name)
        elif DATE.fullmatch(value):
            found = find_dates(blank(text, find_times(text)), today)
            text = _cut(text, found, date.fromisoformat(value), name)
        elif words(value):
            spelt = r"\W+".join(map(re.escape, re.findall(r"\w+", value)))
            text = re.sub(
                rf"(?<![\w{{]){spelt}(?![\w}}])", f"{{{name}}}", text, flags=re.IGNORECASE
            )
    return text


def _cut(text: str, found: Sequence[Mention], meaning: int | date, name: str) -> str:
    for mention in sorted(found, key=lambda one: -one.start):
        if meaning in mention.meanings:
            text = f"{text[: mention.start]}{{{name}}}{text[mention.end :]}"
    return text


def fill(template: str, values: Mapping[str, str]) -> str:
    """A phrase with its blanks filled, moments as people say them."""
    return re.sub(r"\{(\w+)\}", lambda match: said(values[match[1]]), template)


def said(value: str) -> str:
    """A value as people say it: moments in words, anything else as it is."""
    if CLOCK.fullmatch(value):
        hour, minute = divmod(minutes(value), 60)
        return f"{hour % 12 or 12}{f':{minute:02}' if minute else ''} {'am' if hour < 12 else 'pm'}"
    if DATE.fullmatch(value):
        day = date.fromisoformat(value)
        ending = "th" if 10 < day.day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
        return f"{day:%B} {day.day}{ending}"
    return value


def compose(
    one: Conversation, index: int, calls: Calls, phrases: Sequence[Phrase], evidence: Evidence
) -> tuple[str, str] | None:
    """(the most fitting phrase for the message at `index`, filled; its trace), None without one.

    Of those that stood after the same event and before the same next step, and whose blanks this
    conversation can fill: the one whose neighbours in its conversation are most like those here.
    """
    here = place(one, index, calls)
    values = known_values(one, index, calls, evidence)
    fitting = [
        phrase
        for phrase in phrases
        if phrase.place.after == here.after
        and phrase.place.before == here.before
        and phrase.blanks <= values.keys()
    ]
    best = max(fitting, key=lambda phrase: (_likeness(phrase.place, here), phrase), default=None)
    return (fill(best.template, values), best.trace) if best else None


def _likeness(a: Place, b: Place) -> float:
    return fuzz.token_sort_ratio(a.heard, b.heard) + fuzz.token_sort_ratio(a.answer, b.answer)
