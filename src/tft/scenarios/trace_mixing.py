"""S5 trace mixing: mostly another service's traces, with our tool names and shuffled messages."""

from collections.abc import Sequence
from dataclasses import replace

from tft.core.conversation import Conversation, ToolCall
from tft.scenarios.common import Change, choose, of_source, record, rng
from tft.scenarios.config import TraceMixing


def build(pool: Sequence[Conversation], params: TraceMixing, seed: int) -> list[Conversation]:
    """`traces` clean traces of `source` and `other_traces` mangled ones of `other_source`.

    A mangled trace calls our tools with the other service's arguments, and its messages are
    shuffled. Provenance holds `order`: message i was message order[i].

    Raises:
        InputError: there are fewer traces of one of the sources.
    """
    clean = choose(
        of_source(pool, "source", params.source), "traces", params.traces, seed, "trace_mixing"
    )
    other_traces = choose(
        of_source(pool, "other_source", params.other_source),
        "other_traces",
        params.other_traces,
        seed,
        "trace_mixing",
    )
    return [record(trace, "trace_mixing", {}) for trace in clean] + [
        _mangle(trace, params, seed) for trace in other_traces
    ]


def _mangle(trace: Conversation, params: TraceMixing, seed: int) -> Conversation:
    order = list(range(len(trace.messages)))
    rng(seed, "trace_mixing", trace.id, "order").shuffle(order)
    shuffled = replace(trace, messages=tuple(trace.messages[index] for index in order))
    changes = {
        index: Change("rename", ToolCall(params.other_tools[call.name], call.arguments))
        for index, call in shuffled.turns()
        if call.name in params.other_tools
    }
    return record(shuffled, "trace_mixing", changes, order=order)
