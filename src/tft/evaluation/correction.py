"""A judge's scores, corrected for its measured error rates."""

import json
from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

from tft.core.errors import InputError
from tft.evaluation.agreement import Agreement, corrected
from tft.evaluation.statistics import Estimate, Interval, quantile


class Measured(NamedTuple):
    """How a judge, given by name and version, agreed with a judge taken for the truth."""

    judged_by: str
    agreement: Agreement

    def summary(self) -> dict[str, Any]:
        """The judge, the number of verdicts, sensitivity, and specificity, for a JSON file."""
        summary = self.agreement.summary()
        kept = {key: summary[key] for key in ("n", "sensitivity", "specificity")}
        return {"judged_by": self.judged_by, **kept}


def read_measured(path: Path) -> Measured:
    """Read what the experiment `judge_agreement` measured.

    Raises:
        InputError: the file does not exist, or that experiment did not write it.
    """
    try:
        content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        counts = Agreement(*(int(content[key]) for key in Agreement._fields))
        return Measured(str(content["judged_by"]), counts)
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not what `make judge-agreement` writes ({error!r}); it ships in git, so "
            f"`git checkout {path}` restores it"
        ) from error


def corrected_estimate(
    rate: Estimate, conversations: int, judged_by: str, measured: Measured
) -> tuple[float | None, Interval | None]:
    """A judge's score corrected for its errors, with a 95 % interval.

    The interval is that of Lang & Reiczigel (2014, https://doi.org/10.1016/j.prevetmed.2013.09.015):
    the delta method over the errors of all three shares, each first moved toward one half, as
    Agresti and Coull do. Because turns of one conversation err together, the score counts as one
    over as many independent turns as would have its standard error, and the quantile is Student's
    t. benchmarks/interval_coverage.py measures how often the interval covers the truth.

    Args:
        rate: The judge's score: its share of good turns.
        conversations: The number of test conversations.
        judged_by: The judge that gave the score.
        measured: A judge's measured errors.

    Returns:
        (share of good turns, interval). Both are None if the errors of another judge were measured
        or the judge is no better than chance; the interval alone is None if `rate` has none.
    """
    table = measured.agreement
    share = corrected(rate.mean, table.sensitivity, table.specificity)
    if share is None or judged_by != measured.judged_by:
        return None, None
    if rate.interval is None:
        return share, None
    z = quantile(conversations)
    turns = float(conversations)  # if all score 0 or all score 1, as in `exact_interval`
    if rate.standard_error:
        turns = rate.mean * (1 - rate.mean) / rate.standard_error**2
    positive, variance = _moved(rate.mean * turns, turns, z**2)
    good, bad = table.both_good + table.only_theirs, table.both_bad + table.only_ours
    sensitivity, missed = _moved(table.both_good, good, 2)
    specificity, faulted = _moved(table.both_bad, bad, 2)
    better = sensitivity + specificity - 1
    if better <= 0:  # too few verdicts to say anything
        return share, (0.0, 1.0)
    middle = (positive + specificity - 1) / better
    error = sqrt(variance + middle**2 * missed + (1 - middle) ** 2 * faulted) / better
    middle += 2 * z**2 * (middle * missed - (1 - middle) * faulted)
    # Near 0 and 1 the interval may miss the share itself; then widen it.
    return share, (
        min(share, max(0.0, middle - z * error)),
        max(share, min(1.0, middle + z * error)),
    )


def _moved(hits: float, n: float, added: float) -> tuple[float, float]:
    """(share, its variance) after adding `added` cases, half of them hits."""
    share = (hits + added / 2) / (n + added)
    return share, share * (1 - share) / (n + added)
