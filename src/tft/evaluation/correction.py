"""What a judge's scores are worth, given how often it was measured to err."""

import json
from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

from tft.core.errors import InputError
from tft.evaluation.agreement import Agreement, corrected
from tft.evaluation.statistics import Estimate, Interval, quantile


class Measured(NamedTuple):
    """How a judge, known by its name with its version, agreed with one taken for the truth."""

    judged_by: str
    agreement: Agreement

    def summary(self) -> dict[str, Any]:
        """For a metrics file."""
        summary = self.agreement.summary()
        kept = {key: summary[key] for key in ("n", "sensitivity", "specificity")}
        return {"judged_by": self.judged_by, **kept}


def read_measured(path: Path) -> Measured:
    """What the experiment `judge_agreement` measured.

    Raises:
        InputError: there is no such file, or it is none of that stage's.
    """
    try:
        content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        counts = Agreement(*(int(content[key]) for key in Agreement._fields))
        return Measured(str(content["judged_by"]), counts)
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not what `make judge-agreement` writes ({error!r}); it ships in git, so "
            f"`git checkout {path}` brings it back"
        ) from error


def corrected_estimate(
    rate: Estimate, conversations: int, judged_by: str, measured: Measured
) -> tuple[float | None, Interval | None]:
    """(the share of good turns, its 95 % interval) behind a judge's rate of good ones.

    The interval is Lang & Reiczigel's (2014, https://doi.org/10.1016/j.prevetmed.2013.09.015): the
    delta method over the errors of all three shares, each first moved towards a half, as Agresti
    and Coull do. Turns of one conversation err together, so the rate counts as one over as many
    independent turns as would have its standard error, and the quantile is Student's t.
    benchmarks/interval_coverage.py measures how often it holds the truth.

    Returns:
        Both null where another judge was measured, or it is no better than chance; the interval
        alone where the rate has none.
    """
    table = measured.agreement
    share = corrected(rate.mean, table.sensitivity, table.specificity)
    if share is None or judged_by != measured.judged_by:
        return None, None
    if rate.interval is None:
        return share, None
    z = quantile(conversations)
    turns = float(conversations)  # where all score 0 or all 1, as in `uncertainty.exact_interval`
    if rate.standard_error:
        turns = rate.mean * (1 - rate.mean) / rate.standard_error**2
    positive, variance = _moved(rate.mean * turns, turns, z**2)
    good, bad = table.both_good + table.only_theirs, table.both_bad + table.only_ours
    sensitivity, missed = _moved(table.both_good, good, 2)
    specificity, faulted = _moved(table.both_bad, bad, 2)
    better = sensitivity + specificity - 1
    if better <= 0:  # so few verdicts that they tell nothing
        return share, (0.0, 1.0)
    middle = (positive + specificity - 1) / better
    error = sqrt(variance + middle**2 * missed + (1 - middle) ** 2 * faulted) / better
    middle += 2 * z**2 * (middle * missed - (1 - middle) * faulted)
    # It need not hold the share at its ends; then it is widened to.
    return share, (
        min(share, max(0.0, middle - z * error)),
        max(share, min(1.0, middle + z * error)),
    )


def _moved(hits: float, n: float, added: float) -> tuple[float, float]:
    """(share, its variance) with `added` cases more, half of them hits."""
    share = (hits + added / 2) / (n + added)
    return share, share * (1 - share) / (n + added)
