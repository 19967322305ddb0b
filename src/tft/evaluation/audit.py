"""How well filtering and relabeling restore traces whose correct calls are known.

Only benchmarks know them, because their traces are damaged copies of correct ones. A trace is
matched with its correct copy by what users and tools say, which no damage touches. Traces of
another service have no correct copy.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tft.core.conversation import Conversation
from tft.core.task import RESPOND

NOT_AUDITED = {"not_audited": "nobody knows the correct calls of your own traces"}

Key = tuple[str, ...]
Decided = Mapping[tuple[str, int], tuple[str | None, dict[str, Any] | None]]
"""(name, arguments) by conversation id and message index; None if no call was decided."""


def decided_calls(rows: Sequence[Mapping[str, Any]]) -> Decided:
    """The committee's decisions, from rows of `tables.DECISIONS`."""
    return {
        (row["conversation"], row["turn"]): (
            row["name"],
            None if row["arguments"] is None else json.loads(row["arguments"]),
        )
        for row in rows
    }


def key(conversation: Conversation) -> Key:
    """What identifies a trace independently of its calls: the messages of users and tools."""
    return tuple(
        message.content for message in conversation.messages if message.content is not None
    )


def audit(
    traces: Sequence[Conversation],
    truth: Sequence[Conversation],
    kept: Mapping[str, bool],
    decided: Decided,
) -> dict[str, Any]:
    """Compare traces, filter, and relabeling with the truth.

    Args:
        traces: The scenario's traces, as logged.
        truth: The correct conversations of the task.
        kept: Whether the filter kept a trace, by its id.
        decided: The decision on every turn of every trace that the filter kept, including traces
            that relabeling rejected.

    Returns:
        Shares, each None if its denominator is 0: of the task's traces that were kept, and of the
        other traces that were rejected; of turns with the right tool, and of service calls with all
        arguments right, each as logged and as decided (where no decision counts as wrong); and of
        right calls that were left unchanged.
    """
    right = {key(trace): trace for trace in truth}
    task_traces = [trace for trace in traces if key(trace) in right]
    foreign_traces = [trace for trace in traces if key(trace) not in right]
    turns = [
        (call, true, decided[trace.id, index])
        for trace in task_traces
        if kept[trace.id]
        for (index, call), (_, true) in zip(trace.turns(), right[key(trace)].turns(), strict=True)
    ]
    service = [turn for turn in turns if turn[1].name != RESPOND]
    fine = [turn for turn in turns if turn[0] == turn[1]]
    return {
        "traces": len(task_traces),
        "kept": _share([kept[trace.id] for trace in task_traces]),
        "other_traces": len(foreign_traces),
        "others_rejected": _share([not kept[trace.id] for trace in foreign_traces]),
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
