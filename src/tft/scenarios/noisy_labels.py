"""S2 noisy labels: an agent that often acted, or talked, when it should have done otherwise.

Only the assistant's calls are damaged. What the user said and what the tools returned stay, so a
call and the result that follows it may contradict each other, as they do in the published traces.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

from tft.core.conversation import Conversation, ToolCall
from tft.core.errors import InputError
from tft.core.task import RESPOND
from tft.scenarios.common import Change, choose, of_source, record, rng
from tft.scenarios.config import NoisyLabels


class Donors(NamedTuple):
    """The calls that may stand in for others, each with the id of the conversation it is from."""

    by_tool: dict[str, list[tuple[str, ToolCall]]]
    foreign_messages: list[tuple[str, ToolCall]]

    def services(self) -> list[str]:
        """Names of all tools but the one that talks."""
        return sorted(self.by_tool.keys() - {RESPOND})


def build(pool: Sequence[Conversation], params: NoisyLabels, seed: int) -> list[Conversation]:
    """All traces of `source`; `clean_fraction` of them stay, the others' calls are corrupted.

    Each call of those is corrupted with probability `corruption_rate`; the kinds of corruption and
    their shares are `service_call` (what becomes of a service call) and `respond` (of a message).
    Everything is drawn from training traces, so that no test dialogue leaks in. A call's fate
    depends on the seed, its conversation's id and its place: at a higher rate, what was corrupted
    at a lower one is corrupted in the same way, and more besides. Provenance says `clean` of the
    traces that were kept so on purpose.

    Raises:
        InputError: no traces, or none to draw a corruption from.
    """
    traces = of_source(pool, "source", params.source)
    by_tool: dict[str, list[tuple[str, ToolCall]]] = {}
    for trace in traces:
        for _, call in trace.turns():
            by_tool.setdefault(call.name, []).append((trace.id, call))
    foreign_messages = [
        (trace.id, call)
        for trace in of_source(pool, "message_source", params.message_source)
        for _, call in trace.turns()
        if call.name == RESPOND
    ]
    donors = Donors(by_tool, foreign_messages)
    number_clean = round(params.clean_fraction * len(traces))
    clean = {
        trace.id for trace in choose(traces, "clean_fraction", number_clean, seed, "noisy_labels")
    }
    return [
        record(trace, "noisy_labels", {}, clean=True)
        if trace.id in clean
        else record(trace, "noisy_labels", _corrupt(trace, donors, params, seed), clean=False)
        for trace in traces
    ]


def _corrupt(
    trace: Conversation, donors: Donors, params: NoisyLabels, seed: int
) -> dict[int, Change]:
    changes = {}
    for index, call in trace.turns():
        draw = rng(seed, "noisy_labels", trace.id, index)
        if draw.random() >= params.corruption_rate:
            continue
        shares = params.respond if call.name == RESPOND else params.service_call
        kind = draw.choices(list(shares), list(shares.values()))[0]
        # A corruption into the very same call would be none.
        candidates = [
            donor
            for origin, donor in _candidates(kind, call, donors, draw)
            if origin != trace.id and donor != call
        ]
        if not candidates:
            raise InputError(
                f"{kind}: no other trace has a call to put in the place of {call.name} in "
                f"{trace.id}, message {index}; raise limit.train or set this share to 0"
            )
        changes[index] = Change(kind, draw.choice(candidates))
    return changes


def _candidates(
    kind: str, call: ToolCall, donors: Donors, draw: random.Random
) -> list[tuple[str, ToolCall]]:
    match kind:
        case "swap_tool":
            return [("", ToolCall(name, call.arguments)) for name in donors.services()]
        case "swap_params":
            return donors.by_tool[call.name]
        case "respond_instead":
            return donors.by_tool.get(RESPOND, [])
        case "call_instead":
            # First the tool, then one of its calls: all tools equally, however rare their calls.
            services = donors.services()
            return donors.by_tool[draw.choice(services)] if services else []
        case "foreign_message":
            return donors.foreign_messages
        case _:
            raise AssertionError(kind)
