"""How much of the test conversations occurs in training: conversations, utterances, and entities.

Short utterances recur, and a service has only so many cities, so such overlap is only reported. A
test conversation among the training conversations is an error.
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
    """The ids of two conversations, and their similarity from 0 to 1, which is equal."""

    training: str
    test: str
    similarity: float


def closest(training: Mapping[str, str], tests: Mapping[str, str]) -> Pair:
    """The most similar pair of texts, given by conversation id.

    Similarity is rapidfuzz's normalized indel similarity of characters, as in
    synthesize/validate.py, where typical values are given.
    """
    best = Pair(next(iter(training)), next(iter(tests)), 0.0)
    for name, text in training.items():
        cutoff = 100 * best.similarity  # saves most of the work
        match = process.extractOne(text, tests, scorer=fuzz.ratio, score_cutoff=cutoff)
        if match and match[1] > cutoff:
            best = Pair(name, match[2], match[1] / 100)
    return best


def contamination(
    path: Path,
    training: Sequence[Conversation],
    tests: Sequence[Conversation],
    limits: AuditConfig,
) -> dict[str, Any]:
    """The most similar training and test conversations, with and without calls, and the overlap.

    Raises:
        InputError: a pair is more similar than its limit; names both and `path`, the file with the
            training conversations.
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
                f"{path}: conversation {pair.training!r} has a similarity of "
                f"{pair.similarity:.3f} to the test conversation {pair.test!r}, limit {limit}: a "
                "student trained on it knows the answers. Remove it from the traces or, if the two "
                f"are similar by chance, raise audit.{key}"
            )
        pairs[name] = pair._asdict()
    return {"conversations": len(training), **pairs, **overlap(training, tests)}


def without_calls(conversation: Conversation) -> str:
    """What users and tools say, which damage to calls does not touch."""
    return "\n".join(
        message.content for message in conversation.messages if message.content is not None
    )


def overlap(training: Sequence[Conversation], tests: Sequence[Conversation]) -> dict[str, Any]:
    """The shares of the tests' content that the training conversations contain word for word.

    Case, punctuation, and white space are ignored. A value counts as seen if it is the value of any
    argument, because some traces have other names for tools and arguments.

    Returns:
        `user_utterances` and `agent_messages`: shares of all such messages in the tests, without
        tool results. `entities`: for each argument of service calls, the share of its distinct
        values in the tests.
    """
    seen_texts = {
        normalized(message.content)
        for conversation in training
        for message in conversation.messages
        if message.content is not None
    }
    seen_values = {
        normalized(value)
        for conversation in training
        for _, call in conversation.turns()
        for value in call.arguments.values()
    }
    messages, entities = [], defaultdict(set)
    for conversation in tests:
        for _, call in conversation.turns():
            for name, value in call.arguments.items():
                if call.name == RESPOND:
                    messages.append(normalized(value) in seen_values)
                else:
                    entities[name].add(normalized(value))
    return {
        "user_utterances": _share(normalized(text) in seen_texts for text in utterances(tests)),
        "agent_messages": _share(messages),
        "entities": {
            name: _share(value in seen_values for value in entities[name])
            for name in sorted(entities)
        },
    }


def utterances(conversations: Sequence[Conversation]) -> list[str]:
    """The messages of users, without tool results, which are the messages after service calls."""
    texts = []
    for conversation in conversations:
        texts += [conversation.messages[0].content]
        for previous, message in pairwise(conversation.messages):
            if previous.tool_call is None or previous.tool_call.name == RESPOND:
                texts.append(message.content)
    return [text for text in texts if text is not None]


def normalized(value: Any) -> str:
    """A text, or the JSON of another value, reduced to its lower-case words for comparison."""
    text = value if isinstance(value, str) else canonical_json(value)
    return " ".join(re.findall(r"\w+", text.casefold()))


def _share(hits: Iterable[bool]) -> float | None:
    hits = list(hits)
    return round(sum(hits) / len(hits), 6) if hits else None
