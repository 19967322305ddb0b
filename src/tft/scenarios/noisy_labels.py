"""S2 noisy labels: an agent that often called the wrong tool, or gave wrong arguments.

Only the assistant's calls are damaged. User messages and tool results stay, so a call and the
result after it may contradict each other, as they do in the published traces.
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
    """Calls that may replace others, each with the id of the conversation that it is from."""

    by_tool: dict[str, list[tuple[str, ToolCall]]]
    foreign_messages: list[tuple[str, ToolCall]]

    def services(self) -> list[str]:
        """The names of all tools except `respond_to_user`."""
        return sorted(self.by_tool.keys() - {RESPOND})


def build(pool: Sequence[Conversation], params: NoisyLabels, seed: int) -> list[Conversation]:
    """All traces of `source`, of which `clean_fraction` stay clean and the others are corrupted.

    Each call of the others is corrupted with probability `corruption_rate`. `service_call` gives
    the kinds of corruption of service calls and their shares, `respond` those of messages. All
    replacements are drawn from training traces, so that no test dialogue leaks in. What happens to
    a call depends on the seed, the id of its conversation, and its position: a higher rate keeps
    all corruptions of a lower one and adds more. Provenance marks the traces that were kept clean
    on purpose with `clean`.

    Raises:
        InputError: there are no traces, or none to draw a replacement from.
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
        # Replacing a call by an equal one would not corrupt it.
        candidates = [
            donor
            for origin, donor in _candidates(kind, call, donors, draw)
            if origin != trace.id and donor != call
        ]
        if not candidates:
            raise InputError(
                f"{kind}: no other trace has a call that could replace {call.name} in {trace.id}, "
                f"message {index}; raise limit.train or set this share to 0"
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
            # Draw the tool first, then one of its calls, so that tools with few calls are as
            # likely.
            services = donors.services()
            return donors.by_tool[draw.choice(services)] if services else []
        case "foreign_message":
            return donors.foreign_messages
        case _:
            raise AssertionError(kind)
