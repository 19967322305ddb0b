"""How much of the test conversations was seen in training: whole ones, utterances and entities.

What people say in a few words they say again and again, and a service has only so many cities: such
overlap is a fact to know. A test conversation among those trained on is a fault.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from rapidfuzz import fuzz, process

from tft.core.conversation import Conversation, canonical_json, text_of
from tft.core.errors import InputError
from tft.core.task import RESPOND
from tft.evaluation.config import AuditConfig


class Pair(NamedTuple):
    """Two conversations and how alike they are; 1 is equal."""

    training: str
    test: str
    similarity: float


def closest(training: Mapping[str, str], tests: Mapping[str, str]) -> Pair:
    """The most alike of all pairs of texts, given by conversation id.

    By rapidfuzz's normalised indel similarity of the characters, as in synthesize/validate.py,
    which says what is normal.
    """
    best = Pair(next(iter(training)), next(iter(tests)), 0.0)
    for name, text in training.items():
        least = 100 * best.similarity  # spares most of the work
        found = process.extractOne(text, tests, scorer=fuzz.ratio, score_cutoff=least)
        if found and found[1] > least:
            best = Pair(name, found[2], found[1] / 100)
    return best


def contamination(
    path: Path,
    training: Sequence[Conversation],
    tests: Sequence[Conversation],
    limits: AuditConfig,
) -> dict[str, Any]:
    """The nearest pair of training and test conversation, with and without calls, and the overlap.

    Raises:
        InputError: a pair is more alike than the limit; names both and `path`, where the training
            conversations were read.
    """
    pairs = {}
    for name, text, key, limit in (
        ("closest", text_of, "max_similarity", limits.max_similarity),
        ("closest_without_calls", without_calls, "max_similarity_without_calls",
         limits.max_similarity_without_calls),
    ):  # fmt: skip
        pair = closest(
            {conversation.id: text(conversation) for conversation in training},
            {conversation.id: text(conversation) for conversation in tests},
        )
        if pair.similarity > limit:
            raise InputError(
                f"{path}: conversation {pair.training!r} is {pair.similarity:.3f} like the "
                f"test conversation {pair.test!r}, limit {limit}: a student trained on it "
                "knows the answers. Take it out of the traces, or, if the two only look "
                f"alike, raise audit.{key}"
            )
        pairs[name] = pair._asdict()
    return {"conversations": len(training), **pairs, **overlap(training, tests)}


def without_calls(conversation: Conversation) -> str:
    """What users and tools say, which no damage to calls touches."""
    return "\n".join(one.content for one in conversation.messages if one.content is not None)


def overlap(training: Sequence[Conversation], tests: Sequence[Conversation]) -> dict[str, Any]:
    """Shares of what the tests hold that the training conversations hold too, word for word.

    Case, punctuation and white space do not count. An argument's value counts as seen wherever it
    is one, because some traces call tools and arguments by other names.

    Returns:
        `user_utterances` and `agent_messages`: of all in the tests, results of tools apart.
        `entities`: {argument of a service call: of its distinct values in the tests}.
    """
    said = {
        normalized(message.content)
        for one in training
        for message in one.messages
        if message.content is not None
    }
    passed = {
        normalized(value)
        for one in training
        for _, call in one.turns()
        for value in call.arguments.values()
    }
    messages, entities = [], defaultdict(set)
    for one in tests:
        for _, call in one.turns():
            for name, value in call.arguments.items():
                if call.name == RESPOND:
                    messages.append(normalized(value) in passed)
                else:
                    entities[name].add(normalized(value))
    return {
        "user_utterances": _share(normalized(text) in said for text in utterances(tests)),
        "agent_messages": _share(messages),
        "entities": {
            name: _share(value in passed for value in entities[name]) for name in sorted(entities)
        },
    }


def utterances(conversations: Sequence[Conversation]) -> list[str]:
    """What users say; tools' results, which come in their place, follow service calls."""
    said = []
    for one in conversations:
        said += [one.messages[0].content]
        for before, message in pairwise(one.messages):
            if before.tool_call is None or before.tool_call.name == RESPOND:
                said.append(message.content)
    return [text for text in said if text is not None]


def normalized(value: Any) -> str:
    """A text's words, or another value's JSON, as they are compared."""
    text = value if isinstance(value, str) else canonical_json(value)
    return " ".join(re.findall(r"\w+", text.casefold()))


def _share(hits: Iterable[bool]) -> float | None:
    hits = list(hits)
    return round(sum(hits) / len(hits), 6) if hits else None
