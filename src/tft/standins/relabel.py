"""Relabeling by rules: the committee's votes, new words where the old are lost or wrong."""

from collections.abc import Sequence

from tft.core.conversation import Conversation, ToolCall
from tft.core.records import Decision, Relabeled
from tft.core.task import RESPOND, Task
from tft.standins.reading.evidence import collect, parameters
from tft.standins.reading.labels import vote
from tft.standins.reading.phrases import Domain, compose, known_words, read

# Share of all messages. The classifier takes 3.8 % of right ones for foreign (docs/LOG.md):
# where hardly more than that look foreign, none is taken to be.
RARE = 0.05


def relabel(conversations: Sequence[Conversation], task: Task) -> list[Relabeled]:
    """Relabel every turn of every conversation, in their order.

    Calls of services are decided by `labels.vote`. A message that is lost, or by its words belongs
    to another service, is replaced by one composed from phrases of the same traces.
    """
    evidence = collect(conversations, task)
    votes = [vote(one, evidence) for one in conversations]
    known = known_words(conversations, task)
    spoken = [
        read(one, voted, known, evidence) for one, voted in zip(conversations, votes, strict=True)
    ]
    domain = Domain(
        (said.words, said.foreign)
        for messages in spoken
        for said in messages.values()
        if said.foreign is not None
    )
    foreign = [
        {
            index
            for index, said in messages.items()
            if said.foreign or (said.foreign is None and domain.is_foreign(said.words))
        }
        for messages in spoken
    ]
    if sum(map(len, foreign)) < RARE * sum(map(len, spoken)):
        foreign = [set() for _ in foreign]
    phrases = [
        said.phrase
        for messages, wrong in zip(spoken, foreign, strict=True)
        for index, said in messages.items()
        if index not in wrong and not any(letter.isdigit() for letter in said.phrase.template)
    ]
    talk = task.tool(RESPOND)
    (argument, *_) = parameters(talk) if talk else ["message"]
    results = []
    for one, voted, wrong in zip(conversations, votes, foreign, strict=True):
        calls = {index: None if index in wrong else choice.call for index, choice in voted.items()}
        decisions = []
        for index, choice in voted.items():
            call, reason = calls[index], choice.reason
            if call is None and choice.tool == RESPOND:
                reason = "of another service" if index in wrong else reason
                if composed := compose(one, index, calls, phrases, evidence):
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
            results.append(Relabeled(one.with_calls(decided), decisions, None))
    return results
