"""Relevance and coherence of traces, scored by rules."""

from collections.abc import Iterator, Sequence

from tft.core.conversation import Conversation, result_of
from tft.core.records import Relevance
from tft.core.task import Task
from tft.standins.reading.evidence import Evidence, collect, parameters, required, services
from tft.standins.reading.facts import words

COMMON = 4  # words of up to this many letters say nothing about a domain


def score_relevance(conversations: Sequence[Conversation], task: Task) -> list[Relevance]:
    """Score each trace against the task.

    Relevance is the share of the best declared tool's required parameters that a result and the
    call before it contain under any name (`evidence.Evidence.aliases`), averaged over the results
    of the trace. For a trace without results it depends on the words that the trace shares with the
    tools' descriptions. Coherence is the share of neighboring messages that can follow each other:
    a tool result only follows a service call, and a user message only a message of the agent.
    """
    evidence = collect(conversations, task)
    return [_score(conversation, evidence) for conversation in conversations]


def _score(conversation: Conversation, evidence: Evidence) -> Relevance:
    fits = [_fit(names, evidence.task) for names in _names(conversation, evidence) if names]
    if fits:
        fit = sum(fits) / len(fits)
        reason = f"{fit:.0%} of the best tool's required parameters in {len(fits)} results"
    else:
        shared = _words_of(evidence.task) & {
            word for message in conversation.messages for word in words(message.content or "")
        }
        fit = min(1.0, len(shared) / 4)
        reason = (
            f"no results; words of the tools' descriptions: {', '.join(sorted(shared)) or 'none'}"
        )
    pairs = [
        _follows(conversation, index, evidence) for index in range(len(conversation.messages) - 1)
    ]
    order = sum(pairs) / len(pairs) if pairs else 0.0
    reason += f"; {order:.0%} of the messages follow from the one before"
    return Relevance(conversation.id, 1 + round(4 * fit), 1 + round(4 * order), reason)


def _names(conversation: Conversation, evidence: Evidence) -> Iterator[set[str]]:
    """Yield the declared parameters that each result and the call before it contain."""
    for index, message in enumerate(conversation.messages):
        items = result_of(message)
        if items is not None:
            call = conversation.messages[index - 1].tool_call if index else None
            fields = evidence.declared(items[0]) if items else {}
            yield {*fields, *(evidence.declared(call.arguments) if call else {})}


def _fit(names: set[str], task: Task) -> float:
    return max(
        (
            len(names & required(tool)) / len(required(tool))
            if required(tool)
            else float(bool(names & set(parameters(tool))))
            for tool in services(task)
        ),
        default=0.0,
    )


def _words_of(task: Task) -> set[str]:
    texts = [
        text
        for tool in services(task)
        for text in (
            tool.description,
            *(str(s.get("description", "")) for s in parameters(tool).values()),
        )
    ]
    return {word for text in texts for word in words(text) if len(word) > COMMON}


def _follows(conversation: Conversation, index: int, evidence: Evidence) -> bool:
    """Whether the next message can follow the message at `index`."""
    message, after = conversation.messages[index], conversation.messages[index + 1]
    if message.tool_call is None:
        return after.tool_call is not None
    if after.tool_call is not None:
        return False
    serves = evidence.tool_of_arguments(evidence.declared(message.tool_call.arguments)) is not None
    return serves == (result_of(after) is not None)
