"""From the scores of single turns to the numbers of a cell."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import fmean
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

    Per tool means by the reference's tool. `service_call_exact` is the share of service calls
    (every tool but `respond_to_user`) that are equal to the reference, arguments included; null if
    the cell has no such turn. `standard_errors` are those of means over a sample of conversations:
    turns of one conversation may err together.

    Raises:
        InputError: no rows.
    """
    if not scores:
        raise InputError("no scores to summarize: the held-out conversations have no turns")
    tools = sorted({row["tool"] for row in scores})
    service = [row for row in scores if row["tool"] != RESPOND]
    errors = {key: _standard_error(scores, key) for key in MEANS}
    if service:
        errors["service_call_exact"] = _standard_error(service, "binary_tool_call")
    return {
        **_means(scores),
        "service_call_exact": _mean(service, "binary_tool_call") if service else None,
        "standard_errors": errors,
        "tools": {tool: _means([row for row in scores if row["tool"] == tool]) for tool in tools},
    }


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "n": len(rows),
        "parse_failures": sum(row["parse_failure"] for row in rows),
        **{key: _mean(rows, key) for key in MEANS},
    }


def _mean(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    return round(fmean(row[key] for row in rows), DIGITS)


def _standard_error(rows: Sequence[Mapping[str, Any]], key: str) -> float | None:
    """Of the mean over turns, conversations as the sampling units (Liang & Zeger 1986); or null.

    https://doi.org/10.1093/biomet/73.1.13, with the usual correction for few clusters.
    """
    mean = fmean(row[key] for row in rows)
    residuals: dict[str, float] = defaultdict(float)
    for row in rows:
        residuals[row["conversation"]] += row[key] - mean
    clusters = len(residuals)
    if clusters < 2:
        return None
    variance = clusters / (clusters - 1) * sum(value**2 for value in residuals.values())
    return round(sqrt(variance) / len(rows), DIGITS)
