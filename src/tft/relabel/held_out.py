"""Labels for held-out traces that have none, by the same filter and the same committee."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tft.core.conversation import Conversation
from tft.core.records import (
    Relabeled,
    Relevance,
    decision_rows,
    kept_by,
    relabeled_traces,
    relevance_rows,
)
from tft.core.task import Task


class Labeled(NamedTuple):
    """The test conversations, and how they were labeled.

    Attributes:
        conversations: The conversations to test on.
        scores: Rows of `tables.RELEVANCE`, one per held-out conversation.
        decisions: Rows of `tables.DECISIONS`, one per turn of the conversations that the filter
            kept.
        summary: Who labeled the conversations, and how many were rejected.
    """

    conversations: Sequence[Conversation]
    scores: list[dict[str, Any]]
    decisions: list[dict[str, Any]]
    summary: dict[str, Any]


def as_given(held_out: Sequence[Conversation]) -> Labeled:
    """The held-out conversations of a test set, whose calls are already labels."""
    return Labeled(held_out, [], [], {"labeled_by": "the corpus"})


def by_machine(
    held_out: Sequence[Conversation],
    task: Task,
    score_relevance: Callable[[Sequence[Conversation], Task], list[Relevance]],
    relabel: Callable[[Sequence[Conversation], Task], list[Relabeled]],
    thresholds: tuple[int, int],
    machine: str,
) -> Labeled:
    """Filter and relabel held-out traces; `machine` names who does it, for the results."""
    scores = score_relevance(held_out, task)
    kept = kept_by(scores, *thresholds)
    fitting = [trace for trace in held_out if trace.id in kept]
    results = relabel(fitting, task)
    test = [
        replace(trace, provenance={**trace.provenance, "labeled_by": machine})
        for trace in relabeled_traces(fitting, results)
    ]
    return Labeled(
        test,
        relevance_rows(scores, kept),
        decision_rows(fitting, results),
        {
            "labeled_by": machine,
            "rejected_by_filter": len(held_out) - len(fitting),
            "rejected_by_relabel": len(fitting) - len(test),
        },
    )
