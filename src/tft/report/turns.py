"""The turns to browse: every prediction beside its reference, with similar training turns."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from rapidfuzz import fuzz, process

from tft.core.conversation import Conversation, Message, ParseError, ToolCall, Turn

KEEP = 3  # training turns shown for each prediction
CUT = 200  # characters of a message that are compared and shown, because results can be long


class Answer(NamedTuple):
    """A cell's answer to a turn; `staged` is staged_tool_call, `good` is None without verdict."""

    turn: Turn
    staged: float
    good: bool | None
    reason: str
    evidence: str | None


class Cell(NamedTuple):
    """A cell's answers to all test turns, in order, and its training conversations.

    `folder` is PIPELINE/SCENARIO, with which the addresses of training conversations start.
    """

    answers: Sequence[Answer]
    folder: str = ""
    training: Sequence[Conversation] = ()


class Near(NamedTuple):
    """A training turn, and the similarity, from 0 to 1, of its context to that of a test turn."""

    similarity: float
    conversation: Conversation
    message: int


def browser(tests: Sequence[Conversation], cells: Mapping[str, Cell]) -> dict[str, Any]:
    """The data that the page's script reads. A message is a text or a call, [name, arguments].

    Returns:
        `conversations`: list of [id, messages].
        `turns`: list of [position in `conversations`, index of the message].
        `cells`: for each cell, by name, `answers` to the turns, in order, each [prediction, staged,
        good, reason, evidence, near]. A prediction is a call, or [raw text] if it could not be
        parsed, and `near` lists [similarity, id, index] of training turns. `training` has {id:
        {lineage, turns: {index: {said, call, changes}}}} for the conversations of these turns.
    """
    return {
        "conversations": [
            [conversation.id, [_message(m) for m in conversation.messages]]
            for conversation in tests
        ],
        "turns": [
            [place, index]
            for place, conversation in enumerate(tests)
            for index, _ in conversation.turns()
        ],
        "cells": {name: _cell(tests, cell) for name, cell in cells.items()},
    }


def _cell(tests: Sequence[Conversation], cell: Cell) -> dict[str, Any]:
    neighbors = nearest(tests, cell.training) if cell.training else [[] for _ in cell.answers]
    training: dict[str, Any] = {}
    for neighbor in (near for turn in neighbors for near in turn):
        entry = {"lineage": lineage(neighbor.conversation), "turns": {}}
        turns = training.setdefault(neighbor.conversation.id, entry)["turns"]
        turns[str(neighbor.message)] = {
            "said": said(neighbor.conversation.messages, neighbor.message),
            "call": _message(neighbor.conversation.messages[neighbor.message]),
            "changes": changes(neighbor.conversation, neighbor.message),
        }
    answers = [
        [
            _prediction(answer.turn),
            answer.staged,
            answer.good,
            answer.reason,
            answer.evidence,
            [
                [round(neighbor.similarity, 2), neighbor.conversation.id, neighbor.message]
                for neighbor in near
            ],
        ]
        for answer, near in zip(cell.answers, neighbors, strict=True)
    ]
    return {"folder": cell.folder, "answers": answers, "training": training}


def nearest(
    tests: Sequence[Conversation], training: Sequence[Conversation], keep: int = KEEP
) -> list[list[Near]]:
    """For every test turn, in order, the most similar training turns, most similar first.

    At most one turn per training conversation. Similarity is rapidfuzz's normalized indel
    similarity, averaged over the two texts of `said`: in a single text, the many letters of a
    result would outweigh the few of a question. Calls are left out, because they are what a student
    should learn, and they may be wrong.
    """
    rows = [(conversation, index) for conversation in training for index, _ in conversation.turns()]
    test_texts = [
        said(conversation.messages, index)
        for conversation in tests
        for index, _ in conversation.turns()
    ]
    training_texts = [said(conversation.messages, index) for conversation, index in rows]
    previous, last = (
        process.cdist(
            [texts[place] for texts in test_texts],
            [texts[place] for texts in training_texts],
            scorer=fuzz.ratio,
            dtype=np.float32,
            workers=-1,
        )
        for place in (0, 1)
    )
    starts = [
        place
        for place, (conversation, _) in enumerate(rows)
        if not place or rows[place - 1][0] is not conversation
    ]
    nearest_turns = []
    for turn in (previous + last) / 200:  # each similarity is at most 100
        best = np.maximum.reduceat(turn, starts)  # per conversation
        ranked = np.argsort(-best, kind="stable")[:keep]
        places = [
            starts[rank] + int(np.argmax(turn[starts[rank] :] == best[rank])) for rank in ranked
        ]
        nearest_turns.append([Near(float(turn[place]), *rows[place]) for place in places])
    return nearest_turns


def said(messages: Sequence[Message], index: int) -> tuple[str, str]:
    """The last two user messages or results before a message, as empty texts if there are none."""
    texts = [message.content[:CUT] for message in messages[:index] if message.content is not None]
    previous, last = ["", "", *texts][-2:]
    return previous, last


def lineage(conversation: Conversation) -> dict[str, Any]:
    """The part of a conversation's provenance that concerns the whole conversation."""
    records = {key for key, _ in _records(conversation)}
    return {
        key: value for key, value in conversation.provenance.items() if value and key not in records
    }


def changes(conversation: Conversation, index: int) -> list[Any]:
    """The part of a conversation's provenance that records changes to one message."""
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
