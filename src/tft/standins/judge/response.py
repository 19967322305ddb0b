"""Checks whether a message responds to what came before it.

By the rubric nearly any message is reasonable, so the requirements are low: it consists of
sentences, is about something that was mentioned, and does not ignore a result, a question, or a
goodbye to which the reference responds.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import date

from tft.core.task import Task
from tft.standins.judge.state import Fault, Item, State
from tft.standins.reading.evidence import hear
from tft.standins.reading.facts import words
from tft.standins.reading.speech import (
    CLOSING,
    COMMON,
    DONE,
    ELSE,
    FAILED,
    FAREWELL,
    FOUND,
    NEGATION,
    READ_BACK,
    key_words,
    mentions_key,
    sentences,
)

ARTICLE_ALONE = re.compile(
    r"\b(?:[Tt]he|[Aa]n?) (?:the|an?|of|is|are|was|were|to|and|or|you|we|they|for|at|on|in|with"
    r"|will|would|do|does|have|has|can|could|please)\b"
    r"|\b(?:the|an?|and|or|my|your)\W*$"
)
OFF_TOPIC = 0.8  # a message with more than this share of words that occur nowhere else is off topic
ROUNDS = 4  # a message that repeats a piece of text this often runs in circles
ANSWER = re.compile(r"\b(yes|yeah|yep|sorry|unfortunately)\b", re.IGNORECASE)
REPORT = re.compile(
    r"\b(sorry|unfortunate\w*|apologi\w*|options?|results?|here (is|are)|got|set|ready|done)\b",
    re.IGNORECASE,
)


def off_the_point(
    message: str, reference: str, state: State, task: Task, today: date
) -> Fault | None:
    """The first reason why `message` is not a response, or None if it is one.

    Args:
        message: The message to judge.
        reference: The reference message.
        state: The state of the conversation before the message.
        task: The task, whose description and tools show what is on topic.
        today: The date to which "tomorrow" is relative.
    """
    for check in (
        _no_sentence(message),
        _circles(message),
        _off_topic(message, reference, state, task),
        _ignores_result(message, reference, state, today),
        _ignores_question(message, reference, state, today),
        _ignores_leave(message, reference, state),
    ):
        for fault in check:
            return fault
    return None


def _no_sentence(message: str) -> Iterator[Fault]:
    if match := ARTICLE_ALONE.search(message):
        yield Fault(f"no_sentence: {match[0]!r}", "an article without its noun")


def _circles(message: str) -> Iterator[Fault]:
    spoken = words(message)
    for size in range(1, 1 + len(spoken) // ROUNDS):
        repeated = 0  # consecutive words that recur after `size` words
        for end, (word, later) in enumerate(zip(spoken, spoken[size:], strict=False), 1):
            repeated = repeated + 1 if word == later else 0
            if repeated == size * (ROUNDS - 1):
                piece = " ".join(spoken[end : end + size])
                yield Fault(f"runs_in_circles: {piece!r}", f"{ROUNDS} times in a row")
                return


def _off_topic(message: str, reference: str, state: State, task: Task) -> Iterator[Fault]:
    if any(act.search(message) for act in (DONE, ELSE, FAREWELL)):
        return
    keys = [key.replace("_", " ") for result in state.results for item in result for key in item]
    known = _content(" ".join([*state.log, *keys, *_vocabulary(task), reference]))
    own = _content(message)
    # Questions may give examples that nobody mentioned: "Thai, Italian or anything else?"
    examples = _content(" ".join(re.findall(r"[A-Z]\w+", message))) if "?" in message else set()
    unknown = sorted(word for word in own - known - examples if not word.isdigit())
    # A single new word in a question ("How many nights will you stay?") is not off topic.
    if len(unknown) > OFF_TOPIC * len(own) and 3 * len(unknown) >= len(words(message)):
        yield Fault(
            f"off_topic: {', '.join(unknown)}", "in nothing that was said, returned or declared"
        )


def _content(text: str) -> set[str]:
    """The words that say what a text is about, cut to five letters, as in reserved, reservation."""
    spoken = {word for word in words(text) if not {word, word.rstrip("s")} & COMMON}
    return {word[:5] for word in spoken}


def _vocabulary(task: Task) -> Iterator[str]:
    yield task.description
    for tool in task.tools:
        yield f"{tool.name} {tool.description}"
        for key, slot in tool.parameters.get("properties", {}).items():
            yield f"{key} {slot.get('description', '')} {slot.get('enum', '')}".replace("_", " ")


def _ignores_result(message: str, reference: str, state: State, today: date) -> Iterator[Fault]:
    if state.fresh is None or _reports(message, state, today):
        return
    if _reports(reference, state, today):
        returned = str(state.fresh[0]) if state.fresh else "it is empty"
        yield Fault("ignores_result: nothing of it is told", returned)


def _reports(message: str, state: State, today: date) -> bool:
    """Whether a message reports a result: the outcome of the call, or something new."""
    if any(act.search(message) for act in (DONE, FAILED, FOUND, REPORT, NEGATION)):
        return True
    called = _content(" ".join(key_words(state.calls[-1].name)))
    return bool(called & _content(_stated(message))) or _tells(
        message, state.fresh or [], state, today
    )


def _tells(message: str, items: Sequence[Item], state: State, today: date) -> bool:
    """Whether a message mentions a field of the items or a value that was not said before."""
    heard, before = hear(message, today), hear(" . ".join(state.dialogue), today)
    values = {value for item in items for value in item.values() if not before.mentions(value)}
    new = {word for value in values for word in _content(value)} - _content(before.words)
    fields = {key for item in items for key in item if mentions_key(key, _stated(message))}
    return any(map(heard.mentions, values)) or bool(fields or new & _content(message))


def _stated(message: str) -> str:
    return " ".join(sentence for sentence in sentences(message) if "?" not in sentence)


def _ignores_question(message: str, reference: str, state: State, today: date) -> Iterator[Fault]:
    for sentence in sentences(state.heard):
        things_asked_about = [
            thing
            for thing in state.things.values()
            if "?" in sentence and any(mentions_key(key, sentence) for key in thing)
        ]
        if things_asked_about and _answers(reference, things_asked_about, state, today):
            if not _answers(message, things_asked_about, state, today):
                yield Fault(f"ignores_question: {sentence.strip()!r}", str(things_asked_about[0]))
            return


def _answers(message: str, things: Sequence[Item], state: State, today: date) -> bool:
    return bool(ANSWER.search(message) or NEGATION.search(message)) or _tells(
        message, things, state, today
    )


def _ignores_leave(message: str, reference: str, state: State) -> Iterator[Fault]:
    """Saying goodbye while the user continues, or asking on when the user says goodbye."""
    leaves, closes = FAREWELL.search(message), CLOSING.search(state.heard)
    if READ_BACK.search(reference) and not _content(message):
        leaves = leaves or ELSE.search(message)
    if state.heard and leaves and not closes and not FAREWELL.search(reference):
        yield Fault(f"takes_leave: {leaves[0]!r}", f"the user goes on: {state.heard!r}")
    asks = [
        sentence for sentence in sentences(message) if "?" in sentence and not ELSE.search(sentence)
    ]
    if asks and closes and FAREWELL.search(reference) and "?" not in state.heard:
        yield Fault(f"ignores_goodbye: {asks[0]!r}", f"the user said {state.heard!r}")
