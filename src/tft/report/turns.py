"""The turns to browse: every prediction beside its reference, with the training turns like it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from rapidfuzz import fuzz, process

from tft.core.conversation import Conversation, Message, ParseError, ToolCall, Turn

KEEP = 3  # training turns shown for each prediction
CUT = 200  # characters of a message that are compared and shown; services answer at length


class Answer(NamedTuple):
    """What a cell made of a turn; `staged` is its staged_tool_call, `good` null without verdict."""

    turn: Turn
    staged: float
    good: bool | None
    reason: str
    evidence: str | None


class Cell(NamedTuple):
    """A cell's answers to all test turns, in order, and the conversations that it was trained on.

    `folder` is what the addresses of those start with (PIPELINE/SCENARIO).
    """

    answers: Sequence[Answer]
    folder: str = ""
    training: Sequence[Conversation] = ()


class Near(NamedTuple):
    """A training turn, and how alike what was said before it and before a test turn is, 0 to 1."""

    similarity: float
    conversation: Conversation
    message: int


def browser(tests: Sequence[Conversation], cells: Mapping[str, Cell]) -> dict[str, Any]:
    """What the page's script reads. A message is a text or a call, which is [name, arguments].

    Returns:
        `conversations`: [id, messages].
        `turns`: [position in `conversations`, index of the message].
        `cells`: by name, `answers` to the turns, in their order: [prediction, staged, good, reason,
        evidence, near], a prediction being a call or [raw text] where there is none, `near`
        [similarity, id, index] of training turns; of the conversations that these name, `training`
        has {id: {lineage, turns: {index: {said, call, changes}}}}.
    """
    return {
        "conversations": [[one.id, [_message(m) for m in one.messages]] for one in tests],
        "turns": [[place, index] for place, one in enumerate(tests) for index, _ in one.turns()],
        "cells": {name: _cell(tests, cell) for name, cell in cells.items()},
    }


def _cell(tests: Sequence[Conversation], cell: Cell) -> dict[str, Any]:
    found = nearest(tests, cell.training) if cell.training else [[] for _ in cell.answers]
    training: dict[str, Any] = {}
    for one in (near for turn in found for near in turn):
        entry = {"lineage": lineage(one.conversation), "turns": {}}
        turns = training.setdefault(one.conversation.id, entry)["turns"]
        turns[str(one.message)] = {
            "said": said(one.conversation.messages, one.message),
            "call": _message(one.conversation.messages[one.message]),
            "changes": changes(one.conversation, one.message),
        }
    answers = [
        [
            _prediction(answer.turn),
            answer.staged,
            answer.good,
            answer.reason,
            answer.evidence,
            [[round(one.similarity, 2), one.conversation.id, one.message] for one in near],
        ]
        for answer, near in zip(cell.answers, found, strict=True)
    ]
    return {"folder": cell.folder, "answers": answers, "training": training}


def nearest(
    tests: Sequence[Conversation], training: Sequence[Conversation], keep: int = KEEP
) -> list[list[Near]]:
    """For every turn of the tests, in order, the most alike training turns, the first the most.

    At most one of each conversation. By rapidfuzz's normalised indel similarity, the mean over the
    two texts of `said`: in one text, a result's many letters would outweigh the few of a question.
    Calls are left out, because it is those that a student is to learn and that may be wrong.
    """
    rows = [(one, index) for one in training for index, _ in one.turns()]
    asked = [said(one.messages, index) for one in tests for index, _ in one.turns()]
    known = [said(one.messages, index) for one, index in rows]
    before, last = (
        process.cdist(
            [texts[place] for texts in asked],
            [texts[place] for texts in known],
            scorer=fuzz.ratio,
            dtype=np.float32,
            workers=-1,
        )
        for place in (0, 1)
    )
    starts = [
        place for place, (one, _) in enumerate(rows) if not place or rows[place - 1][0] is not one
    ]
    found = []
    for turn in (before + last) / 200:  # of 100 each
        best = np.maximum.reduceat(turn, starts)  # of each conversation
        ranked = np.argsort(-best, kind="stable")[:keep]
        places = [starts[one] + int(np.argmax(turn[starts[one] :] == best[one])) for one in ranked]
        found.append([Near(float(turn[place]), *rows[place]) for place in places])
    return found


def said(messages: Sequence[Message], index: int) -> tuple[str, str]:
    """The last two things that the user, or a service, said before a message; empty if nothing."""
    texts = [one.content[:CUT] for one in messages[:index] if one.content is not None]
    before, last = ["", "", *texts][-2:]
    return before, last


def lineage(conversation: Conversation) -> dict[str, Any]:
    """What its provenance says of a conversation as a whole."""
    records = {key for key, _ in _records(conversation)}
    return {
        key: value for key, value in conversation.provenance.items() if value and key not in records
    }


def changes(conversation: Conversation, index: int) -> list[Any]:
    """What its provenance says was done to one message."""
    return [record for _, record in _records(conversation) if record.get("message") == index]


def _records(conversation: Conversation) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in conversation.provenance.items():
        for record in value if isinstance(value, list) else ():
            if isinstance(record, dict):
                yield key, record


def _message(message: Message) -> Any:
    return message.content if message.tool_call is None else _call(message.tool_call)


def _prediction(turn: Turn) -> list[Any]:
    return [turn.raw] if isinstance(turn.prediction, ParseError) else _call(turn.prediction)


def _call(call: ToolCall) -> list[Any]:
    return [call.name, call.arguments]
