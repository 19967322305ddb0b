"""Reads seed conversations and context, and repairs wrong messages.

The labeling functions decide the calls of logged traces (see `labels`). A message counts as right
if it belongs to the task and makes sense in its place (see `acts`). User messages stay as they are.
"""

from collections.abc import Sequence
from typing import NamedTuple

from tft.core.conversation import Conversation, Message, ToolCall, canonical_json, result_of, user
from tft.core.task import RESPOND
from tft.standins.reading.evidence import Evidence
from tft.standins.reading.foreign import read_traces
from tft.standins.reading.phrases import known_words
from tft.standins.synthesize.acts import Reader
from tft.standins.synthesize.substitute import Stock
from tft.standins.synthesize.wording import Wording, fields_of

# `acts` finds fault with 6.5 % of the right messages of S1 (docs/log), so if the share of faulty
# messages is below this, none is considered wrong.
MISTAKEN = 0.08


class Understood(NamedTuple):
    """What was read from all traces.

    Attributes:
        traces: The repaired traces in which nothing is in doubt, by id.
        wording: The wording of all traces.
    """

    traces: dict[str, Conversation]
    wording: Wording

    @property
    def told(self) -> list[Conversation]:
        """The traces in the order of their ids."""
        return [trace for _, trace in sorted(self.traces.items())]


def understand(
    seeds: Sequence[Conversation],
    context: Sequence[Conversation],
    evidence: Evidence,
    stock: Stock,
) -> Understood:
    """Read seed conversations and context, and repair what can be repaired."""
    reader = Reader(evidence, stock.ordinary, known_words([*seeds, *context], evidence.task))
    logged, lost = _decide(seeds, context, evidence)
    traces = [*(_with_declared_fields(seed, evidence) for seed in seeds), *logged]
    reader.learn(traces)
    wrong = {
        trace.id: {index for index, spot, text in reader.spots(trace) if reader.fault(text, spot)}
        for trace in traces
    }
    messages = sum(call.name == RESPOND for trace in traces for _, call in trace.turns())
    if sum(map(len, wrong.values())) <= MISTAKEN * messages:
        wrong = {trace.id: set() for trace in traces}
    wording = Wording(reader, fields_of(traces, reader))
    wording.listen(traces)
    for trace in traces:
        wrong[trace.id] |= lost[trace.id]
        wording.add(trace, wrong[trace.id])
    certain = {}
    for trace in traces:
        repaired, left = trace, set[int]()
        if wrong[trace.id]:
            repaired, left = wording.mend(trace, wrong[trace.id])
        if not left and not any(wording.doubtful_call(trace, index) for index, _ in trace.turns()):
            certain[trace.id] = repaired
    if not any(seed.id in certain for seed in seeds):
        certain |= {trace.id: trace for trace in traces[: len(seeds)]}
    return Understood(certain, wording)


def _decide(
    seeds: Sequence[Conversation], context: Sequence[Conversation], evidence: Evidence
) -> tuple[list[Conversation], dict[str, set[int]]]:
    """(the context with decided calls, the lost or foreign messages of all traces, by trace).

    Traces with a service call that cannot be decided are left out.
    """
    traces = [*seeds, *context]
    readings = {
        trace.id: reading
        for trace, reading in zip(traces, read_traces(traces, evidence), strict=True)
    }
    lost = {identifier: set(reading.foreign) for identifier, reading in readings.items()}
    decided = []
    for trace in context:
        votes, calls = readings[trace.id].votes, {}
        for index, choice in votes.items():
            if choice.call is not None:
                calls[index] = choice.call
            elif choice.tool == RESPOND:
                calls[index] = ToolCall(RESPOND, {"message": ""})
                lost[trace.id].add(index)
        if len(calls) == len(votes):
            decided.append(_with_declared_fields(trace.with_calls(calls), evidence))
    return decided, lost


def _with_declared_fields(trace: Conversation, evidence: Evidence) -> Conversation:
    """The trace with results under declared field names, and without provenance.

    Nothing that generates may read provenance.
    """
    messages: list[Message] = []
    for message in trace.messages:
        items = result_of(message)
        if items is None:
            messages.append(message)
        else:
            messages.append(user(canonical_json([evidence.renamed(item) for item in items])))
    return Conversation(trace.id, trace.source, tuple(messages))
