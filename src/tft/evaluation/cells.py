"""From judged turns to the scores of a cell, and from two cells to their difference."""

from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

from tft.core.conversation import Turn
from tft.core.errors import InputError
from tft.core.task import Task
from tft.evaluation.breakdown import breakdown
from tft.evaluation.correction import Measured
from tft.evaluation.metrics import score
from tft.evaluation.summary import (
    Rows,
    Students,
    average,
    compare_pipelines,
    compare_service_calls,
    compare_students,
    correct,
    summarize_students,
)


class Scored(NamedTuple):
    """The scores of one student, policy, or teacher.

    Attributes:
        rows: Rows of `tables.SCORES`, one per turn with a verdict.
        unjudged: (conversation id, turn) of the turns without a verdict.
        judged_by: The names of the judges.
        breakdown: Where predictions go wrong, see `breakdown.breakdown`.
    """

    rows: Rows
    unjudged: Set[tuple[str, int]]
    judged_by: Set[str]
    breakdown: dict[str, Any]


def score_student(
    name: str, judged: Sequence[tuple[Turn, Mapping[str, Any]]], task: Task
) -> Scored:
    """Score every turn that has a verdict.

    Args:
        name: The name of the student, for errors.
        judged: Turns with their rows of `tables.VERDICTS`.
        task: The task, with the declared tools.

    Raises:
        InputError: no turn has a verdict.
    """
    unjudged = {
        (turn.conversation, turn.index) for turn, verdict in judged if verdict["good"] is None
    }
    kept = [(turn, verdict) for turn, verdict in judged if verdict["good"] is not None]
    if not kept:
        raise InputError(
            f"data/verdicts/{name}.parquet: no turn has a verdict; its column `reason` says why"
        )
    rows = [{**score(turn, task), "judge": float(verdict["good"])} for turn, verdict in kept]
    judged_by = {verdict["judge"] for _, verdict in judged}
    return Scored(rows, unjudged, judged_by, breakdown([turn for turn, _ in kept], rows))


def summarize_cell(students: Mapping[str, Scored], measured: Measured) -> dict[str, Any]:
    """The metrics of a cell, over the turns on which all of its students have a verdict."""
    unjudged = _union(student.unjudged for student in students.values())
    judged_by = ", ".join(sorted(_union(student.judged_by for student in students.values())))
    rows = without(unjudged, students)
    return {
        "judged_by": judged_by,
        "no_verdict": len(unjudged),
        **correct(summarize_students(rows), average(rows), judged_by, measured),
    }


def compare_cells(
    scored: Mapping[str, Scored], cells: Mapping[str, Sequence[str]], scenarios: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Compare TFT with Direct on the turns on which all of `scored` have a verdict.

    Args:
        scored: Scores by the name of a student, policy, or teacher.
        cells: The names of the students of each cell. SCENARIO-tft is compared with
            SCENARIO-direct.
        scenarios: The scenarios to compare. Without any the comparison is empty.
    """
    unjudged = _union(student.unjudged for student in scored.values())
    rows = {
        cell: without(unjudged, {name: scored[name] for name in names})
        for cell, names in cells.items()
    }
    comparison = compare_pipelines({cell: average(of) for cell, of in rows.items()}, scenarios)
    for scenario in scenarios:
        tft, direct = rows[f"{scenario}-tft"], rows[f"{scenario}-direct"]
        comparison[scenario] |= compare_students(tft, direct)
        comparison[scenario]["service_call_exact"] = compare_service_calls(
            average(tft), average(direct)
        )
    return comparison


def without(unjudged: Set[tuple[str, int]], students: Mapping[str, Scored]) -> Students:
    """The students' rows without the unjudged turns, so that all have rows of the same turns."""
    return {
        name: [row for row in student.rows if (row["conversation"], row["turn"]) not in unjudged]
        for name, student in students.items()
    }


def _union(sets: Any) -> set[Any]:
    return set().union(*sets)
