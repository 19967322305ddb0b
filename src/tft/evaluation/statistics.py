"""The uncertainty of scores: standard errors, 95 % intervals, and a paired test of two cells.

Turns of one conversation err together, so the bootstrap resamples conversations with all their
turns. These intervals and tests keep their nominal levels with the benchmark's 34 conversations;
benchmarks/interval_coverage.py measures this, for alternatives as well.

Arrays have conversations on their last axis: `totals`, the sum of a score over the turns of each
conversation, and `turns`, the number of these turns. Axes before that are separate problems.
"""

from collections.abc import Mapping, Sequence
from math import fsum, isclose
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import binomtest, bootstrap, t

from tft.core.errors import InputError

Array = NDArray[np.float64]
Row = Mapping[str, Any]
Interval = tuple[float, float]

LEVEL = 0.95
RESAMPLES = 9999
SEED = 0  # fixed, so that equal scores have equal standard errors


class Estimate(NamedTuple):
    """A mean over turns, its standard error, and its 95 % interval.

    With only one conversation, standard error and interval are None. If all conversations have the
    same mean, and it is neither 0 nor 1, the interval is None.
    """

    mean: float
    standard_error: float | None
    interval: Interval | None


class Comparison(NamedTuple):
    """A difference of two means over the same turns, with its 95 % interval.

    `p` is the two-sided p value of no difference. It is below 0.05 exactly if the interval excludes
    0, and 1 if there is no interval.
    """

    difference: float
    interval: Interval | None
    p: float


def estimate(rows: Sequence[Row], key: str) -> Estimate:
    """The mean of column `key`, whose scores go from 0 to 1, over rows of `tables.SCORES`."""
    totals, turns = _by_conversation(rows, key)
    mean = fsum(totals) / fsum(turns)
    if len(turns) < 2:
        return Estimate(mean, None, None)
    error = float(standard_error(totals, turns))
    if not _spreads(error):
        return Estimate(mean, error, exact_interval(mean, len(turns)))
    low, high = mean_interval(mean, error, len(turns))
    return Estimate(mean, error, (float(low), float(high)))


def compare(ours: Sequence[Row], theirs: Sequence[Row], key: str) -> Comparison:
    """The mean of column `key` in `ours` minus that in `theirs`, over rows of the same turns.

    Raises:
        InputError: the two have different turns; names one of them.
    """
    if unpaired := _turns(ours) ^ _turns(theirs):
        conversation, turn = min(unpaired)
        raise InputError(
            f"turn {turn} of conversation {conversation!r} (and {len(unpaired) - 1} more) is "
            "scored in only one of the two; `dvc repro -f predict` makes both again"
        )
    (totals, turns), (their_totals, _) = _by_conversation(ours, key), _by_conversation(theirs, key)
    difference = fsum([*totals, *-their_totals]) / fsum(turns)
    error = float(standard_error(totals - their_totals, turns)) if len(turns) > 1 else 0.0
    if not _spreads(error):
        return Comparison(difference, None, 1.0)
    low, high = difference_interval(difference, error, len(turns))
    p = paired_p(difference, error, len(turns))
    return Comparison(difference, (float(low), float(high)), float(p))


def standard_error(totals: Array, turns: Array, resamples: int = RESAMPLES) -> Array:
    """The standard error of totals.sum() / turns.sum(), by a bootstrap over conversations."""
    result = bootstrap(
        (totals, turns),
        lambda totals, turns, axis: totals.sum(axis) / turns.sum(axis),
        paired=True,
        vectorized=True,
        axis=-1,
        n_resamples=resamples,
        method="percentile",
        rng=SEED,
    )
    # The bootstrap's variance divides by the number of conversations instead of one less.
    conversations = totals.shape[-1]
    error: Array = result.standard_error * np.sqrt(conversations / (conversations - 1))
    return error


def mean_interval(mean: ArrayLike, error: ArrayLike, conversations: int) -> tuple[Array, Array]:
    """(low, high) of a mean of scores from 0 to 1: a t interval on the logit scale.

    This is what `svyciprop` of R's survey package does for proportions in clustered samples. The
    interval stays between 0 and 1 and extends further away from the nearer of the two.
    """
    mean = np.asarray(mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = quantile(conversations) * np.asarray(error) / (mean * (1 - mean))
        return expit(logit(mean) - reach), expit(logit(mean) + reach)


def exact_interval(mean: float, conversations: int) -> Interval | None:
    """(low, high) by Clopper and Pearson if all turns score 0 or all score 1, otherwise None.

    The data then do not show how far turns of one conversation err together. Each conversation
    counts as one observation, which makes the interval too wide rather than too narrow.
    """
    if mean not in (0, 1):
        return None
    bounds = binomtest(int(mean) * conversations, conversations).proportion_ci(LEVEL)
    return float(bounds.low), float(bounds.high)


def difference_interval(
    difference: ArrayLike, error: ArrayLike, conversations: int
) -> tuple[Array, Array]:
    """(low, high) of a difference of means: a t interval."""
    reach = quantile(conversations) * np.asarray(error)
    return np.asarray(difference) - reach, np.asarray(difference) + reach


def paired_p(difference: ArrayLike, error: ArrayLike, conversations: int) -> Array:
    """The two-sided p value of no difference, by a t test."""
    statistic = np.abs(difference) / np.asarray(error)
    p: Array = 2 * t.sf(statistic, conversations - 1)
    return p


def holm(p: Sequence[float]) -> list[float]:
    """p values of several tests, corrected for their number (Holm 1979, jstor.org/stable/4615733).

    With n tests the smallest p value is multiplied by n, the next by n - 1, and so on, keeping
    their order. The probability of any false positive stays at the level of one test.
    """
    order = np.argsort(p)
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1))
    return [float(value) for value in np.minimum(corrected, 1)]


def quantile(conversations: int) -> float:
    """The two-sided t quantile for `conversations - 1` degrees of freedom."""
    return float(t.ppf((1 + LEVEL) / 2, conversations - 1))


def _spreads(error: float) -> bool:
    return not isclose(error, 0, abs_tol=1e-9)


def _turns(rows: Sequence[Row]) -> set[tuple[str, int]]:
    return {(row["conversation"], row["turn"]) for row in rows}


def _by_conversation(rows: Sequence[Row], key: str) -> tuple[Array, Array]:
    """(totals, turns) by conversation, independent of the order of the rows to the last bit."""
    scores: dict[str, list[float]] = {}
    for row in rows:
        scores.setdefault(row["conversation"], []).append(row[key])
    groups = [scores[name] for name in sorted(scores)]
    return np.array([fsum(group) for group in groups]), np.array([float(len(g)) for g in groups])
