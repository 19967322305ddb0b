"""Reads all traces together: votes on turns, messages as phrases, and which messages are foreign.

A message is foreign if, by its words, it belongs to another service.
"""

from collections.abc import Sequence
from typing import NamedTuple

from tft.core.conversation import Conversation
from tft.standins.reading.evidence import Evidence
from tft.standins.reading.labels import Vote, vote
from tft.standins.reading.phrases import Domain, Spoken, known_words, read

# A share of all messages. The classifier mistakes 3.8 % of right messages for foreign ones
# (docs/log), so if the share that looks foreign is below this, none is considered foreign.
RARE = 0.05


class Reading(NamedTuple):
    """One trace: its votes and messages by message index, and which of the messages are foreign."""

    votes: dict[int, Vote]
    messages: dict[int, Spoken]
    foreign: set[int]


def read_traces(conversations: Sequence[Conversation], evidence: Evidence) -> list[Reading]:
    """Read all traces, in order. Which messages are foreign is learned from all of them."""
    votes = [vote(conversation, evidence) for conversation in conversations]
    vocabulary = known_words(conversations, evidence.task)
    messages_read = [
        read(conversation, votes_by_turn, vocabulary, evidence)
        for conversation, votes_by_turn in zip(conversations, votes, strict=True)
    ]
    domain = Domain(
        (message.words, message.foreign)
        for messages in messages_read
        for message in messages.values()
        if message.foreign is not None
    )
    foreign = [
        {
            index
            for index, message in messages.items()
            if message.foreign or (message.foreign is None and domain.is_foreign(message.words))
        }
        for messages in messages_read
    ]
    if sum(map(len, foreign)) < RARE * sum(map(len, messages_read)):
        foreign = [set() for _ in foreign]
    return [Reading(*parts) for parts in zip(votes, messages_read, foreign, strict=True)]
