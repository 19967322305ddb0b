"""What an agent says, mined from traces: messages with blanks for values, and where they fit.

A message that a trace lost, or that belongs to another service, is replaced by one from the same
place in another conversation: after the same kind of event, before the same kind of answer.
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
"""The calls of a conversation by message index; None if what was said is unknown."""


class Place(NamedTuple):
    """The place of a message in its conversation."""

    after: str  # what came before it: "user", or the name of a tool with a result, "!" if empty
    before: str  # what the agent does next: the name of a tool, or END
    heard: str  # the user message before it, if any
    answer: str  # the user message after it, if any


class Phrase(NamedTuple):
    """A message with {blanks} for values, and its place."""

    template: str
    blanks: frozenset[str]
    place: Place
    trace: str


def place(conversation: Conversation, index: int, calls: Calls) -> Place:
    """The place of the message at `index`, given the decided calls."""
    after, heard = "user", ""
    if index:
        previous = conversation.messages[index - 1]
        items = result_of(previous)
        caller = calls.get(index - 2)
        if items is not None and caller is not None:
            after = caller.name if items else f"{caller.name}!"
        heard = previous.content or "" if items is None else ""
    answer = (
        conversation.messages[index + 1].content or ""
        if index + 1 < len(conversation.messages)
        else ""
    )
    following = calls.get(index + 2)
    before = following.name if following else RESPOND if index + 2 in calls else END
    return Place(after, before, heard, answer)


def known_values(
    conversation: Conversation, index: int, calls: Calls, evidence: Evidence
) -> dict[str, str]:
    """The values that the message at `index` may mention, from results and calls, latest first.

    This includes the call after the user's next message, because what it books was agreed on
    before.
    """
    values: dict[str, str] = {}
    for at, message in enumerate(conversation.messages[:index]):
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
    """Which messages belong to the task, by their words.

    A naive Bayes classifier, trained on messages whose class the traces themselves reveal (see
    `_gives_away`). Messages without evidence ("Have a nice day.") count as belonging.
    """

    def __init__(self, examples: Iterable[tuple[set[str], bool]]) -> None:
        """Count the words of messages, each given with whether it is foreign."""
        self.counts: tuple[Counter[str], Counter[str]] = Counter(), Counter()
        self.sizes = [0, 0]
        for message_words, foreign in examples:
            self.counts[foreign].update(message_words)
            self.sizes[foreign] += 1

    def is_foreign(self, message_words: set[str]) -> bool:
        """Whether these words are clearly more likely in a foreign message."""
        if not all(self.sizes):
            return False
        odds = math.log(self.sizes[1] / self.sizes[0])
        for word in message_words:
            native, foreign = (
                (count[word] + 0.5) / (size + 1)
                for count, size in zip(self.counts, self.sizes, strict=True)
            )
            odds += math.log(foreign / native)
        return odds > CLEARLY


class Spoken(NamedTuple):
    """A message of a trace as a phrase, its words without values, and whether it is foreign."""

    phrase: Phrase
    words: set[str]
    foreign: bool | None  # None if the message itself does not reveal it


def read(
    conversation: Conversation, votes: Mapping[int, Vote], vocabulary: set[str], evidence: Evidence
) -> dict[int, Spoken]:
    """The messages of a conversation that are not lost, as phrases, by message index."""
    calls = {index: vote.call for index, vote in votes.items()}
    intact = all(
        vote.call == call
        for vote, (_, call) in zip(votes.values(), conversation.turns(), strict=True)
    )
    spoken = {}
    for index, call in calls.items():
        if call is not None and call.name == RESPOND:
            text = " ".join(map(str, call.arguments.values()))
            template = with_blanks(
                text, known_values(conversation, index, calls, evidence), evidence.today
            )
            blanks = frozenset(re.findall(r"\{(\w+)\}", template))
            remaining = re.sub(r"\{\w+\}", "", template)
            spoken[index] = Spoken(
                Phrase(template, blanks, place(conversation, index, calls), conversation.id),
                set(words(remaining)),
                _gives_away(
                    blank(remaining, find_dates(remaining, evidence.today)),
                    intact or bool(blanks),
                    vocabulary,
                ),
            )
    return spoken


def known_words(conversations: Iterable[Conversation], task: Task) -> set[str]:
    """Every word of users, results, and tool schemas, none of which the agent can get wrong."""
    texts = [str(tool.to_openai()) for tool in task.tools]
    texts += [
        message.content
        for conversation in conversations
        for message in conversation.messages
        if message.content
    ]
    return {word for text in texts for word in words(text)}


def _gives_away(text: str, belongs: bool, vocabulary: set[str]) -> bool | None:
    """Whether a message is foreign: it is if it names something that no user or tool mentions.

    Dates, which anybody may mention, are already removed from `text`.
    """
    if any(word not in vocabulary for name in NAME.findall(text) for word in words(name)):
        return True
    return False if belongs else None


def with_blanks(text: str, values: Mapping[str, str], today: date) -> str:
    """A message with values replaced by {their names}, longest values first."""
    text = re.sub(r"[{}]", "", text)
    for name, value in sorted(values.items(), key=lambda item: (-len(item[1]), item[0])):
        if CLOCK.fullmatch(value):
            text = _cut(text, find_times(text), minutes(value), name)
        elif DATE.fullmatch(value):
            mentions = find_dates(blank(text, find_times(text)), today)
            text = _cut(text, mentions, date.fromisoformat(value), name)
        elif words(value):
            pattern = r"\W+".join(map(re.escape, re.findall(r"\w+", value)))
            text = re.sub(
                rf"(?<![\w{{]){pattern}(?![\w}}])", f"{{{name}}}", text, flags=re.IGNORECASE
            )
    return text


def _cut(text: str, mentions: Sequence[Mention], meaning: int | date, name: str) -> str:
    for mention in sorted(mentions, key=lambda mention: -mention.start):
        if meaning in mention.meanings:
            text = f"{text[: mention.start]}{{{name}}}{text[mention.end :]}"
    return text


def fill(template: str, values: Mapping[str, str]) -> str:
    """Fill the blanks of a phrase, with times and dates as people say them."""
    return re.sub(r"\{(\w+)\}", lambda match: said(values[match[1]]), template)


def said(value: str) -> str:
    """A value as people say it: times and dates in words, everything else unchanged."""
    if CLOCK.fullmatch(value):
        hour, minute = divmod(minutes(value), 60)
        return f"{hour % 12 or 12}{f':{minute:02}' if minute else ''} {'am' if hour < 12 else 'pm'}"
    if DATE.fullmatch(value):
        day = date.fromisoformat(value)
        ending = "th" if 10 < day.day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
        return f"{day:%B} {day.day}{ending}"
    return value


def compose(
    conversation: Conversation,
    index: int,
    calls: Calls,
    phrases: Sequence[Phrase],
    evidence: Evidence,
) -> tuple[str, str] | None:
    """(the best phrase for the message at `index`, filled; its trace), or None if none fits.

    A phrase fits if it came after the same event and before the same next step, and this
    conversation can fill its blanks. The best one has the most similar messages before and after
    it.
    """
    target = place(conversation, index, calls)
    values = known_values(conversation, index, calls, evidence)
    fitting = [
        phrase
        for phrase in phrases
        if phrase.place.after == target.after
        and phrase.place.before == target.before
        and phrase.blanks <= values.keys()
    ]
    best = max(fitting, key=lambda phrase: (_likeness(phrase.place, target), phrase), default=None)
    return (fill(best.template, values), best.trace) if best else None


def _likeness(a: Place, b: Place) -> float:
    return fuzz.token_sort_ratio(a.heard, b.heard) + fuzz.token_sort_ratio(a.answer, b.answer)
