"""From the scores of single turns to the numbers of a cell."""

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import fmean, stdev
from typing import Any

from tft.errors import InputError
from tft.task import RESPOND

MEANS = (
    "judge",
    "staged_tool_call",
    "binary_tool_call",
    "tool_call_equivalence",
    "rouge",
    "name_accuracy",
)
DIGITS = 6


def summarize(scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Overall and per-tool means of rows of `tables.SCORES`, with n and parse failures.

    Per tool means by the reference's tool. `judge_se` is the standard error of the judge's mean
    over turns taken as independent; turns of one conversation are not, so it is a lower bound.
    `service_call_exact` is the share of service calls (every tool but `respond_to_user`) that are
    equal to the reference, arguments included; null if the cell has no such turn.

    Raises:
        InputError: no rows.
    """
    if not scores:
        raise InputError("no scores to summarize: the held-out conversations have no turns")
    tools = sorted({row["tool"] for row in scores})
    service = [row["binary_tool_call"] for row in scores if row["tool"] != RESPOND]
    return {
        **_means(scores),
        "service_call_exact": round(fmean(service), DIGITS) if service else None,
        "tools": {tool: _means([row for row in scores if row["tool"] == tool]) for tool in tools},
    }


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    judge = [row["judge"] for row in rows]
    error = stdev(judge) / sqrt(len(judge)) if len(judge) > 1 else 0.0
    return {
        "n": len(rows),
        "parse_failures": sum(row["parse_failure"] for row in rows),
        "judge_se": round(error, DIGITS),
        **{key: round(fmean(row[key] for row in rows), DIGITS) for key in MEANS},
    }
