"""How far filtering and relabeling restore traces whose truth is known.

Only benchmarks know it: their traces are damaged copies of right ones. A trace is told by what its
users and tools say, which no damage touches (but for traces of another service, which have no
right copy at all).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tft.core.conversation import Conversation
from tft.core.task import RESPOND

NOT_AUDITED = {"not_audited": "nobody knows the correct calls of your own traces"}

Key = tuple[str, ...]
Decided = Mapping[tuple[str, int], tuple[str | None, dict[str, Any] | None]]
"""(name, arguments) by conversation id and message index; None where nothing was decided."""


def decided_calls(rows: Sequence[Mapping[str, Any]]) -> Decided:
    """What the committee decided, from rows of `tables.DECISIONS`."""
    return {
        (row["conversation"], row["turn"]): (
            row["name"],
            None if row["arguments"] is None else json.loads(row["arguments"]),
        )
        for row in rows
    }


def key(conversation: Conversation) -> Key:
    """What tells a trace whatever became of its calls."""
    return tuple(
        message.content for message in conversation.messages if message.content is not None
    )


def audit(
    traces: Sequence[Conversation],
    truth: Sequence[Conversation],
    kept: Mapping[str, bool],
    decided: Decided,
) -> dict[str, Any]:
    """Compare traces, filter and relabeling with the truth.

    Args:
        traces: of the scenario, as logged.
        truth: right conversations of the task.
        kept: whether the filter kept a trace, by its id.
        decided: (name, arguments) by conversation id and message index, of every turn of every
            trace that was kept, rejected relabelings included; None where nothing was decided.

    Returns:
        Shares, null where there is nothing to share out: of the task's traces kept and of the
        others rejected; of all turns with the right tool, of service calls with all arguments
        right, each as logged and as decided (undecided is wrong); of right calls left alone.
    """
    right = {key(one): one for one in truth}
    own = [one for one in traces if key(one) in right]
    others = [one for one in traces if key(one) not in right]
    turns = [
        (call, true, decided[one.id, index])
        for one in own
        if kept[one.id]
        for (index, call), (_, true) in zip(one.turns(), right[key(one)].turns(), strict=True)
    ]
    service = [turn for turn in turns if turn[1].name != RESPOND]
    fine = [turn for turn in turns if turn[0] == turn[1]]
    return {
        "traces": len(own),
        "kept": _share([kept[one.id] for one in own]),
        "other_traces": len(others),
        "others_rejected": _share([not kept[one.id] for one in others]),
        "turns": len(turns),
        "tool_right": {
            "logged": _share([call.name == true.name for call, true, _ in turns]),
            "decided": _share([name == true.name for _, true, (name, _) in turns]),
        },
        "service_calls": len(service),
        "service_call_right": {
            "logged": _share([call == true for call, true, _ in service]),
            "decided": _share(
                [(name, arguments) == (true.name, true.arguments)
                 for _, true, (name, arguments) in service]
            ),
        },
        "right_left_alone": _share(
            [(name, arguments) == (call.name, call.arguments)
             for call, _, (name, arguments) in fine]
        ),
    }  # fmt: skip


def _share(hits: Sequence[bool]) -> float | None:
    return round(sum(hits) / len(hits), 6) if hits else None
