"""How sure scores are: standard errors, 95 % intervals, and a paired test of two cells.

Turns of one conversation err together, so the bootstrap draws conversations, each with all its
turns. Of the intervals and tests that can be made of it, these hold what they promise with the
benchmark's 34 conversations; benchmarks/interval_coverage.py measures it, and the others too.

Arrays have conversations on their last axis: `totals` of a score over each one's turns, and its
number of `turns`. Axes before that are separate problems.
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
SEED = 0  # of the resampling, so that equal scores have equal errors


class Estimate(NamedTuple):
    """A mean over turns.

    The interval is null where there is only one conversation, or all have the same mean other than
    0 and 1.
    """

    mean: float
    standard_error: float | None
    interval: Interval | None


class Comparison(NamedTuple):
    """A difference of two means over the same turns.

    `p` is that of no difference, two-sided: below 0.05 exactly where the interval leaves out 0, and
    1 where there is no interval.
    """

    difference: float
    interval: Interval | None
    p: float


def estimate(rows: Sequence[Row], key: str) -> Estimate:
    """The mean of a column of scores from 0 to 1 over rows, each a turn of its `conversation`."""
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
    """The mean of ours less that of theirs, over rows of the same turns.

    Raises:
        InputError: their turns are others; names one.
    """
    if other := _turns(ours) ^ _turns(theirs):
        conversation, turn = min(other)
        raise InputError(
            f"turn {turn} of conversation {conversation!r} (and {len(other) - 1} more) is scored "
            "in only one of the two; `dvc repro -f predict` makes both anew"
        )
    (totals, turns), (others, _) = _by_conversation(ours, key), _by_conversation(theirs, key)
    difference = fsum([*totals, *-others]) / fsum(turns)
    error = float(standard_error(totals - others, turns)) if len(turns) > 1 else 0.0
    if not _spreads(error):
        return Comparison(difference, None, 1.0)
    low, high = difference_interval(difference, error, len(turns))
    p = paired_p(difference, error, len(turns))
    return Comparison(difference, (float(low), float(high)), float(p))


def standard_error(totals: Array, turns: Array, resamples: int = RESAMPLES) -> Array:
    """Of totals.sum() / turns.sum(), by drawing conversations anew (cluster bootstrap)."""
    drawn = bootstrap(
        (totals, turns),
        lambda totals, turns, axis: totals.sum(axis) / turns.sum(axis),
        paired=True,
        vectorized=True,
        axis=-1,
        n_resamples=resamples,
        method="percentile",
        rng=SEED,
    )
    # The bootstrap's variance divides by the number of conversations, not by one less.
    conversations = totals.shape[-1]
    error: Array = drawn.standard_error * np.sqrt(conversations / (conversations - 1))
    return error


def mean_interval(mean: ArrayLike, error: ArrayLike, conversations: int) -> tuple[Array, Array]:
    """(low, high) of a mean of scores from 0 to 1: Student's t on the logit scale.

    As `svyciprop` of R's survey package does for proportions in clustered samples: the interval
    stays between 0 and 1 and leans away from the nearer of them.
    """
    mean = np.asarray(mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = quantile(conversations) * np.asarray(error) / (mean * (1 - mean))
        return expit(logit(mean) - reach), expit(logit(mean) + reach)


def exact_interval(mean: float, conversations: int) -> Interval | None:
    """(low, high) where every turn scores 0, or every turn 1: Clopper and Pearson's; else null.

    Nothing says then how far turns of one conversation err together, so that each conversation
    counts as one: too wide rather than too narrow.
    """
    if mean not in (0, 1):
        return None
    bounds = binomtest(int(mean) * conversations, conversations).proportion_ci(LEVEL)
    return float(bounds.low), float(bounds.high)


def difference_interval(
    difference: ArrayLike, error: ArrayLike, conversations: int
) -> tuple[Array, Array]:
    """(low, high) of a difference of means: Student's t."""
    reach = quantile(conversations) * np.asarray(error)
    return np.asarray(difference) - reach, np.asarray(difference) + reach


def paired_p(difference: ArrayLike, error: ArrayLike, conversations: int) -> Array:
    """Two-sided p of no difference: Student's t."""
    statistic = np.abs(difference) / np.asarray(error)
    p: Array = 2 * t.sf(statistic, conversations - 1)
    return p


def holm(p: Sequence[float]) -> list[float]:
    """p of several tests, corrected for their number (Holm 1979, jstor.org/stable/4615733).

    The smallest counts as often as there are tests, the next once less; none gets ahead of a
    smaller one. The chance of any false positive among them stays at the level of one test.
    """
    order = np.argsort(p)
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1))
    return [float(value) for value in np.minimum(corrected, 1)]


def quantile(conversations: int) -> float:
    """Of Student's t, by which a standard error becomes half an interval."""
    return float(t.ppf((1 + LEVEL) / 2, conversations - 1))


def _spreads(error: float) -> bool:
    return not isclose(error, 0, abs_tol=1e-9)


def _turns(rows: Sequence[Row]) -> set[tuple[str, int]]:
    return {(row["conversation"], row["turn"]) for row in rows}


def _by_conversation(rows: Sequence[Row], key: str) -> tuple[Array, Array]:
    """(totals, turns) by conversation, exactly the same whatever the order of the rows."""
    scores: dict[str, list[float]] = {}
    for row in rows:
        scores.setdefault(row["conversation"], []).append(row[key])
    groups = [scores[name] for name in sorted(scores)]
    return np.array([fsum(group) for group in groups]), np.array([float(len(g)) for g in groups])
