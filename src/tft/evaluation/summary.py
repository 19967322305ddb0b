"""From the scores of single turns to the summary of a cell."""

from collections.abc import Mapping, Sequence
from math import fsum
from statistics import fmean, stdev
from typing import Any

from tft.core.errors import InputError
from tft.core.task import RESPOND
from tft.evaluation.correction import Measured, corrected_estimate
from tft.evaluation.statistics import compare, estimate, holm

Rows = Sequence[Mapping[str, Any]]
"""Rows of `tables.SCORES`."""
Students = Mapping[str, Rows]
"""The students of a cell, one per training seed: rows by name, of the same turns in one order."""

MEANS = (
    "judge",
    "staged_tool_call",
    "binary_tool_call",
    "tool_call_equivalence",
    "rouge",
    "name_accuracy",
)
DIGITS = 6


def summarize(scores: Rows) -> dict[str, Any]:
    """Means over all turns and per tool of the reference, with n and parse failures.

    `service_call_exact` is the share of service calls (calls of every tool but `respond_to_user`)
    that are equal to the reference, including arguments; None if there are no such turns.
    `standard_errors` and `intervals` (95 %, [low, high]) are those of the overall means; see
    `statistics.Estimate` for when they are None.

    Raises:
        InputError: there are no rows.
    """
    if not scores:
        raise InputError(
            "no scores to summarize: there is no held-out turn on which the students of all seeds "
            "have a verdict"
        )
    tools = sorted({row["tool"] for row in scores})
    service = [row for row in scores if row["tool"] != RESPOND]
    estimates = {key: estimate(scores, key) for key in MEANS}
    if service:
        estimates["service_call_exact"] = estimate(service, "binary_tool_call")
    return {
        **_means(scores),
        "service_call_exact": _mean(service, "binary_tool_call") if service else None,
        "standard_errors": {
            key: _rounded(estimated.standard_error) for key, estimated in estimates.items()
        },
        "intervals": {key: _rounded(estimated.interval) for key, estimated in estimates.items()},
        "tools": {tool: _means([row for row in scores if row["tool"] == tool]) for tool in tools},
    }


def correct(
    summary: Mapping[str, Any], scores: Rows, judged_by: str, measured: Measured
) -> dict[str, Any]:
    """Add to a cell's summary `judge_corrected`, its interval, and the judge's measured errors.

    See `correction.corrected_estimate` for when they are None.
    """
    conversations = len({row["conversation"] for row in scores})
    share, interval = corrected_estimate(
        estimate(scores, "judge"), conversations, judged_by, measured
    )
    intervals = summary["intervals"] | {"judge_corrected": _rounded(interval)}
    corrected = {"judge_corrected": _rounded(share), "judge_measured": measured.summary()}
    return {**summary, **corrected, "intervals": intervals}


def summarize_students(students: Students) -> dict[str, Any]:
    """Summarize a cell, whose score at each turn is the mean over its students.

    The intervals therefore do not include variance across training seeds. With several students
    there are also `students`, the summary of each, and `spread`, the standard deviation of each
    mean across students.
    """
    summary = summarize(average(students))
    if len(students) == 1:
        return summary
    summaries = {name: summarize(rows) for name, rows in students.items()}
    scores = [key for key in (*MEANS, "service_call_exact") if summary[key] is not None]
    spread = {
        key: _rounded(stdev(student_summary[key] for student_summary in summaries.values()))
        for key in scores
    }
    return {**summary, "spread": spread, "students": summaries}


def average(students: Students) -> Rows:
    """The turns of a cell, each with the mean of its students' scores."""
    of_turn, averaged = ("conversation", "turn", "tool"), ("parse_failure", *MEANS)
    return [
        {key: rows[0][key] for key in of_turn}
        | {key: fmean(row[key] for row in rows) for key in averaged}
        for rows in zip(*students.values(), strict=True)
    ]


def compare_students(tft: Students, direct: Students) -> dict[str, Any]:
    """How far the difference of two cells' judge scores depends on the training seed.

    Returns:
        {differences: one per seed, spread: their standard deviation}, or {} with one seed.
    """
    differences = [
        round(_mean(ours, "judge") - _mean(theirs, "judge"), DIGITS)
        for ours, theirs in zip(tft.values(), direct.values(), strict=True)
    ]
    if len(differences) == 1:
        return {}
    return {"differences": differences, "spread": _rounded(stdev(differences))}


def compare_service_calls(tft: Rows, direct: Rows) -> dict[str, Any] | None:
    """The shares of exact service calls of two cells, paired over conversations.

    Returns:
        {tft, direct, difference, interval (95 %, [low, high])}; None if no turn calls a service.
    """
    ours, theirs = ([row for row in rows if row["tool"] != RESPOND] for rows in (tft, direct))
    if not ours:
        return None
    result = compare(ours, theirs, "binary_tool_call")
    return {
        "tft": _mean(ours, "binary_tool_call"),
        "direct": _mean(theirs, "binary_tool_call"),
        "difference": _rounded(result.difference),
        "interval": _rounded(result.interval),
    }


def compare_pipelines(
    cells: Mapping[str, Rows], scenarios: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Compare the judge scores of SCENARIO-tft and SCENARIO-direct, paired by turn.

    Returns:
        {scenario: {tft, direct, difference, interval (95 %, [low, high]), p, p_holm}}, where
        `p_holm` is corrected for the number of scenarios.

    Raises:
        InputError: two cells have different turns; names both.
    """
    pairs = {name: (cells[f"{name}-tft"], cells[f"{name}-direct"]) for name in scenarios}
    results = {}
    for name, (tft, direct) in pairs.items():
        try:
            results[name] = compare(tft, direct, "judge")
        except InputError as error:
            raise InputError(f"{name}-tft and {name}-direct: {error.message}") from error
    corrected = holm([result.p for result in results.values()])
    return {
        name: {
            "tft": _mean(pairs[name][0], "judge"),
            "direct": _mean(pairs[name][1], "judge"),
            "difference": _rounded(result.difference),
            "interval": _rounded(result.interval),
            "p": _rounded(result.p),
            "p_holm": _rounded(p),
        }
        for (name, result), p in zip(results.items(), corrected, strict=True)
    }


def _means(rows: Rows) -> dict[str, Any]:
    failures = round(fsum(row["parse_failure"] for row in rows), 2)  # a mean over students
    return {
        "n": len(rows),
        "parse_failures": int(failures) if failures.is_integer() else failures,
        **{key: _mean(rows, key) for key in MEANS},
    }


def _mean(rows: Rows, key: str) -> float:
    return round(fmean(row[key] for row in rows), DIGITS)


def _rounded(value: float | Sequence[float] | None) -> float | list[float] | None:
    match value:
        case None:
            return None
        case float():
            return round(value, DIGITS)
        case _:
            return [round(number, DIGITS) for number in value]
