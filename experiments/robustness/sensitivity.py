"""How far scores depend on what tools are called: the same turns under several rewordings.

The measure of it is SGD-X's (Lee et al. 2022, https://arxiv.org/abs/2110.06800).
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
    """What becomes of each cell's scores when the tools are reworded.

    Args:
        originals: each cell's `summary.summarize` under the original names.
        scores: {cell: {variant: rows}}, `judge` being None where no judge gave a verdict. Such a
            turn is left out in all cells and variants, so that all are of the same turns.
        scenarios: those whose SCENARIO-tft and SCENARIO-direct are compared.

    Returns:
        `no_verdict`: how many turns were left out. `cells`: of each cell MEASURES with n, parse
        failures and intervals, as `original`, by `variants`, and over all variants' turns together
        as `reworded`; the `deviation` (standard, of the variants' scores) and the `sensitivity` of
        each measure. `comparison`: as `summary.compare_pipelines`, over all variants' turns.
    """
    everything = [row for variants in scores.values() for rows in variants.values() for row in rows]
    unjudged = {_turn(row) for row in everything if row["judge"] is None}
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
            # A conversation is drawn with its turns under every variant.
            "reworded": _picked(summarize(pooled[cell])),
            "deviation": {
                key: _deviation([one[key] for one in summaries.values()]) for key in MEASURES
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

    That of a turn is the standard deviation of its scores under the variants by their mean; 0 where
    all are 0. 0 is a model that scores the same under every variant, turn by turn, be it good or
    bad; of scores that are 0 or 1, five variants reach 2.24 at most. None for less than two
    variants, or where no turn has the measure.
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
        fmean(stdev(one) / fmean(one) if any(one) else 0 for one in by_turn.values()), DIGITS
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
