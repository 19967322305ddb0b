"""Traces as far as rules can vouch for them: seeds and context read, wrong messages mended.

Calls of logged traces are decided by the labeling functions (see `labels`), messages by whether
they belong to the task and make sense in their place (see `acts`). What users say is as it was.
"""

from collections.abc import Sequence
from typing import NamedTuple

from tft.core.conversation import Conversation, Message, ToolCall, canonical_json, result_of, user
from tft.core.task import RESPOND
from tft.standins.reading.evidence import Evidence
from tft.standins.reading.labels import vote
from tft.standins.reading.phrases import Domain, known_words, read
from tft.standins.synthesize.acts import Reader
from tft.standins.synthesize.substitute import Stock
from tft.standins.synthesize.wording import Wording, fields_of

MISTAKEN = 0.08  # share of right messages that `acts` finds fault with (6.5 % of S1's)
RARE = 0.05  # as in relabel


class Understood(NamedTuple):
    """What is known of all traces: those that can be told again, by id, and all their wordings."""

    traces: dict[str, Conversation]
    wording: Wording

    @property
    def told(self) -> list[Conversation]:
        """In the order of their ids."""
        return [one for _, one in sorted(self.traces.items())]


def understand(
    seeds: Sequence[Conversation],
    context: Sequence[Conversation],
    evidence: Evidence,
    stock: Stock,
) -> Understood:
    """Read seeds and context.

    Told again are those in which nothing is left in doubt.
    """
    everything = [*seeds, *context]
    reader = Reader(evidence, stock.ordinary, known_words(everything, evidence.task))
    logged, lost = _declared(seeds, context, evidence)
    traces = [*(_renamed(one, evidence) for one in seeds), *logged]
    reader.learn(traces)
    wrong = {
        one.id: {index for index, spot, text in reader.spots(one) if reader.fault(text, spot)}
        for one in traces
    }
    spoken = sum(call.name == RESPOND for one in traces for _, call in one.turns())
    if sum(map(len, wrong.values())) <= MISTAKEN * spoken:
        wrong = {one.id: set() for one in traces}
    wording = Wording(reader, fields_of(traces, reader))
    wording.listen(traces)
    for one in traces:
        wrong[one.id] |= lost[one.id]
        wording.add(one, wrong[one.id])
    told = {}
    for one in traces:
        mended, left = wording.mend(one, wrong[one.id]) if wrong[one.id] else (one, set())
        if not left and not any(wording.doubtful_call(one, index) for index, _ in one.turns()):
            told[one.id] = mended
    if not any(one.id in told for one in seeds):
        told |= {one.id: one for one in traces[: len(seeds)]}
    return Understood(told, wording)


def _declared(
    seeds: Sequence[Conversation], context: Sequence[Conversation], evidence: Evidence
) -> tuple[list[Conversation], dict[str, set[int]]]:
    """The context with its calls decided; where words of the agent, also of seeds, are not its own.

    A trace with a service call that nothing tells is left out.
    """
    everything = [*seeds, *context]
    votes = {one.id: vote(one, evidence) for one in everything}
    known = known_words(everything, evidence.task)
    spoken = {one.id: read(one, votes[one.id], known, evidence) for one in everything}
    foreign = {
        (name, index): said.foreign
        for name, messages in spoken.items()
        for index, said in messages.items()
    }
    domain = Domain(
        (spoken[name][index].words, kind)
        for (name, index), kind in foreign.items()
        if kind is not None
    )
    foreign = {
        (name, index): kind or (kind is None and domain.is_foreign(spoken[name][index].words))
        for (name, index), kind in foreign.items()
    }
    if sum(map(bool, foreign.values())) < RARE * len(foreign):
        foreign = {}
    lost = {one.id: {i for i in votes[one.id] if foreign.get((one.id, i))} for one in everything}
    decided = []
    for one in context:
        calls = {}
        for index, choice in votes[one.id].items():
            if choice.call is not None:
                calls[index] = choice.call
            elif choice.tool == RESPOND:
                calls[index] = ToolCall(RESPOND, {"message": ""})
                lost[one.id].add(index)
        if len(calls) == len(votes[one.id]):
            decided.append(_renamed(one.with_calls(calls), evidence))
    return decided, lost


def _renamed(one: Conversation, evidence: Evidence) -> Conversation:
    """With the results' fields under declared names; without provenance, which nothing may read."""
    messages: list[Message] = []
    for message in one.messages:
        items = result_of(message)
        if items is None:
            messages.append(message)
        else:
            messages.append(user(canonical_json([evidence.renamed(item) for item in items])))
    return Conversation(one.id, one.source, tuple(messages))
