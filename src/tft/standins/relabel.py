"""Relabeling by rules: a vote of labeling functions, and new messages for lost or wrong ones."""

from collections.abc import Sequence

from tft.core.conversation import Conversation, ToolCall
from tft.core.records import Decision, Relabeled
from tft.core.task import RESPOND, Task
from tft.standins.reading.evidence import collect, parameters
from tft.standins.reading.labels import vote
from tft.standins.reading.phrases import Domain, compose, known_words, read

# A share of all messages. The classifier mistakes 3.8 % of right messages for foreign ones
# (docs/log), so if the share that looks foreign is below this, none is considered foreign.
RARE = 0.05


def relabel(conversations: Sequence[Conversation], task: Task) -> list[Relabeled]:
    """Relabel every turn of every conversation, in order.

    `labels.vote` decides service calls. A message that is lost, or that by its words belongs to
    another service, is replaced by one composed from phrases of the same traces.
    """
    evidence = collect(conversations, task)
    votes = [vote(conversation, evidence) for conversation in conversations]
    vocabulary = known_words(conversations, task)
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
    phrases = [
        message.phrase
        for messages, wrong in zip(messages_read, foreign, strict=True)
        for index, message in messages.items()
        if index not in wrong and not any(letter.isdigit() for letter in message.phrase.template)
    ]
    talk = task.tool(RESPOND)
    (argument, *_) = parameters(talk) if talk else ["message"]
    results = []
    for conversation, votes_by_turn, wrong in zip(conversations, votes, foreign, strict=True):
        calls = {
            index: None if index in wrong else choice.call
            for index, choice in votes_by_turn.items()
        }
        decisions = []
        for index, choice in votes_by_turn.items():
            call, reason = calls[index], choice.reason
            if call is None and choice.tool == RESPOND:
                reason = "of another service" if index in wrong else reason
                if composed := compose(conversation, index, calls, phrases, evidence):
                    text, trace = composed
                    call = ToolCall(RESPOND, {argument: text})
                    reason += f"; composed: as in {trace}"
                else:
                    reason += "; no phrase fits"
            decisions.append(Decision(index, call, reason, choice.votes))
        lost = next((decision for decision in decisions if decision.call is None), None)
        if lost:
            rejection = f"message {lost.turn}: {lost.reason}"
            results.append(Relabeled(None, decisions, rejection))
        else:
            decided = {decision.turn: decision.call for decision in decisions if decision.call}
            results.append(Relabeled(conversation.with_calls(decided), decisions, None))
    return results
