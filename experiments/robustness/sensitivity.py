"""How much scores depend on the names of tools, on the same turns under several rewordings.

The measure is SGD-X's schema sensitivity (Lee et al. 2022, https://arxiv.org/abs/2110.06800).
"""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from tft.core.task import RESPOND
from tft.evaluation.summary import DIGITS, Rows, compare_pipelines, summarize

MEASURES = ("judge", "name_accuracy", "service_call_exact", "staged_tool_call")


def robustness(
    originals: Mapping[str, Mapping[str, Any]],
    scores: Mapping[str, Mapping[str, Rows]],
    scenarios: Sequence[str],
) -> dict[str, Any]:
    """Summarize each cell's scores under the original names and under rewordings.

    Args:
        originals: `summary.summarize` of each cell under the original names.
        scores: {cell: {variant: rows}}, where `judge` is None if no judge gave a verdict. Such a
            turn is left out of all cells and variants, so that all have the same turns.
        scenarios: The scenarios whose SCENARIO-tft and SCENARIO-direct are compared.

    Returns:
        `no_verdict`: the number of turns left out. `cells`: for each cell, MEASURES with n, parse
        failures, and intervals as `original`, for each of the `variants`, and over the turns of all
        variants as `reworded`; and, for each measure, the `deviation` (the standard deviation of
        the variants' scores) and the `sensitivity`. `comparison`: `summary.compare_pipelines` over
        the turns of all variants.
    """
    all_rows = [row for variants in scores.values() for rows in variants.values() for row in rows]
    unjudged = {_turn(row) for row in all_rows if row["judge"] is None}
    judged = {
        cell: {
            variant: [row for row in rows if _turn(row) not in unjudged]
            for variant, rows in variants.items()
        }
        for cell, variants in scores.items()
    }
    pooled = {
        cell: [row for rows in variants.values() for row in rows]
        for cell, variants in judged.items()
    }
    cells = {}
    for cell, variants in judged.items():
        summaries = {variant: _picked(summarize(rows)) for variant, rows in variants.items()}
        cells[cell] = {
            "original": _picked(originals[cell]),
            "variants": summaries,
            # The bootstrap draws a conversation with its turns under all variants.
            "reworded": _picked(summarize(pooled[cell])),
            "deviation": {
                key: _deviation([summary[key] for summary in summaries.values()])
                for key in MEASURES
            },
            "sensitivity": {key: sensitivity(list(variants.values()), key) for key in MEASURES},
        }
    return {
        "no_verdict": len(unjudged),
        "cells": cells,
        "comparison": compare_pipelines(pooled, scenarios),
    }


def sensitivity(variants: Sequence[Rows], measure: str) -> float | None:
    """SGD-X's schema sensitivity: the mean over turns of the coefficient of variation.

    The coefficient of a turn is the standard deviation of its scores under the variants divided by
    their mean, or 0 if all scores are 0. A sensitivity of 0 means that every turn scores the same
    under all variants, whether well or badly; with scores of 0 and 1 and five variants the maximum
    is 2.24. None with fewer than two variants, or if no turn has the measure.
    """
    column = "binary_tool_call" if measure == "service_call_exact" else measure
    by_turn: dict[tuple[str, int], list[float]] = {}
    for rows in variants:
        for row in rows:
            if column == measure or row["tool"] != RESPOND:
                by_turn.setdefault(_turn(row), []).append(row[column])
    if len(variants) < 2 or not by_turn:
        return None
    return round(
        fmean(
            stdev(turn_scores) / fmean(turn_scores) if any(turn_scores) else 0
            for turn_scores in by_turn.values()
        ),
        DIGITS,
    )


def _deviation(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(stdev(known), DIGITS) if len(known) > 1 else None


def _picked(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "n": summary["n"],
        "parse_failures": summary["parse_failures"],
        **{key: summary[key] for key in MEASURES},
        "intervals": {key: summary["intervals"].get(key) for key in MEASURES},
    }


def _turn(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["conversation"], row["turn"]
