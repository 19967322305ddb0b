"""Relabeling by rules: a vote of labeling functions, and new messages for lost or wrong ones."""

from collections.abc import Sequence

from tft.core.conversation import Conversation, ToolCall
from tft.core.records import Decision, Relabeled
from tft.core.task import RESPOND, Task
from tft.standins.reading.evidence import collect, parameters
from tft.standins.reading.foreign import read_traces
from tft.standins.reading.phrases import compose


def relabel(conversations: Sequence[Conversation], task: Task) -> list[Relabeled]:
    """Relabel every turn of every conversation, in order.

    `labels.vote` decides service calls. A message that is lost, or that by its words belongs to
    another service, is replaced by one composed from phrases of the same traces.
    """
    evidence = collect(conversations, task)
    readings = read_traces(conversations, evidence)
    phrases = [
        message.phrase
        for reading in readings
        for index, message in reading.messages.items()
        if index not in reading.foreign
        and not any(letter.isdigit() for letter in message.phrase.template)
    ]
    talk = task.tool(RESPOND)
    (argument, *_) = parameters(talk) if talk else ["message"]
    results = []
    for conversation, reading in zip(conversations, readings, strict=True):
        calls = {
            index: None if index in reading.foreign else choice.call
            for index, choice in reading.votes.items()
        }
        decisions = []
        for index, choice in reading.votes.items():
            call, reason = calls[index], choice.reason
            if call is None and choice.tool == RESPOND:
                reason = "of another service" if index in reading.foreign else reason
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
