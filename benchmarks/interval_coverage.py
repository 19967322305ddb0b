"""How often 95 % intervals cover the true value, and how often equal cells differ significantly.

Run:   python benchmarks/interval_coverage.py [--replications 10000]

Test sets of 34 conversations are drawn repeatedly from a population with a known mean, in which
scores are more similar within a conversation than between conversations. Every interval and every
test is computed for each test set. The aim is that 93 to 97 % of intervals cover the mean, and that
4 to 6 % of the tests of equal cells have p < 0.05.

- Means: beta-binomial scores.
- Pairs of cells: normal scores cut at a threshold, which are sums of effects of the conversation,
  of the turn, and of the cell in the conversation.
- Corrected scores: scores from the populations of means, given by a judge that errs. Its error
  rates are estimated from as many other turns as in experiments/judge_agreement/judge.json.
"""

import warnings
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import click
import numpy as np
from scipy.stats import DegenerateDataWarning, bootstrap, norm, permutation_test, ttest_rel
from tabulate import tabulate

from tft.evaluation.agreement import Agreement
from tft.evaluation.correction import Measured, corrected_estimate
from tft.evaluation.statistics import (
    Array,
    Estimate,
    difference_interval,
    mean_interval,
    paired_p,
    quantile,
    standard_error,
)

CONVERSATIONS = 34
# The numbers of turns of conversations, similar to those of the benchmark's test conversations.
TURNS = np.array([6, 7, 7, 8, 8, 9, 9, 9, 10, 10, 10, 11, 11, 12, 12, 13, 14, 15, 16, 20])
SERVICE_CALLS = np.array([1, 1, 2, 2, 2, 2, 3, 3, 4])
RESAMPLES = 999
AT_ONCE = 100  # test sets in memory at a time


class Means(NamedTuple):
    """A population of one cell's conversations."""

    label: str
    mean: float
    correlation: float  # between two turns of one conversation
    turns: Array = TURNS


class Pairs(NamedTuple):
    """A population of conversations that two cells answered."""

    label: str
    means: tuple[float, float]
    conversation: float  # this and the next two are shares of the variance of normal scores
    turn: float
    cells: tuple[float, float]


class Judged(NamedTuple):
    """A population of one cell's conversations, and a judge that errs on them."""

    truth: Means
    sensitivity: float = 0.98
    specificity: float = 0.88
    verdicts: tuple[int, int] = (113, 42)  # good and bad turns on which its errors were measured


MEANS = (
    Means("judge", 0.85, 0.1),
    Means("judge, conversations unlike", 0.85, 0.3),
    Means("name accuracy", 0.95, 0.1),
    Means("half right", 0.5, 0.1),
    Means("service calls, exact", 0.3, 0.2, SERVICE_CALLS),
    Means("service calls, few exact", 0.1, 0.2, SERVICE_CALLS),
)
PAIRS = (
    Pairs("equal", (0.85, 0.85), 0.07, 0.4, (0.05, 0.05)),
    Pairs("equal, much alike", (0.85, 0.85), 0.1, 0.8, (0.02, 0.02)),
    Pairs("equal, one uneven", (0.85, 0.85), 0.07, 0.4, (0.05, 0.3)),
    Pairs("equal, both uneven", (0.7, 0.7), 0.2, 0.4, (0.2, 0.2)),
    Pairs("unequal", (0.85, 0.75), 0.07, 0.4, (0.05, 0.05)),
)

JUDGED = (
    Judged(Means("judge", 0.85, 0.1)),
    Judged(Means("judge, conversations unlike", 0.75, 0.3)),
    Judged(Means("nearly all good", 0.95, 0.1)),
    Judged(Means("nearly all bad", 0.1, 0.1)),
    Judged(Means("half right", 0.5, 0.1)),
    Judged(Means("a worse judge", 0.75, 0.1), 0.9, 0.7),
    Judged(Means("few verdicts", 0.75, 0.1), 0.98, 0.88, (30, 15)),
)


def draw_means(population: Means, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """(totals, turns) of n test sets, each of shape (n, conversations)."""
    turns = rng.choice(population.turns, (n, CONVERSATIONS))
    strength = 1 / population.correlation - 1
    rates = rng.beta(population.mean * strength, (1 - population.mean) * strength, turns.shape)
    return rng.binomial(turns, rates).astype(float), turns.astype(float)


def draw_pairs(population: Pairs, n: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """(totals of the first cell, totals of the second, turns) of n test sets."""
    turns = rng.choice(TURNS, (n, CONVERSATIONS))
    shape = (*turns.shape, TURNS.max())
    exists = np.arange(TURNS.max()) < turns[..., np.newaxis]
    shared = population.conversation**0.5 * rng.normal(size=(*turns.shape, 1))
    shared = shared + population.turn**0.5 * rng.normal(size=shape)
    totals = []
    for mean, share in zip(population.means, population.cells, strict=True):
        remaining = 1 - population.conversation - population.turn - share
        own = share**0.5 * rng.normal(size=(*turns.shape, 1)) + remaining**0.5 * rng.normal(
            size=shape
        )
        good = (shared + own < norm.ppf(mean)) & exists
        totals.append(good.sum(-1).astype(float))
    return *totals, turns.astype(float)


def bootstrap_intervals(totals: Array, turns: Array) -> dict[str, tuple[Array, Array]]:
    """The intervals that scipy derives from the bootstrap distribution; NaN covers nothing."""
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)
        return {
            method: bootstrap(
                (totals, turns), lambda totals, turns, axis: totals.sum(axis) / turns.sum(axis),
                paired=True, vectorized=True, axis=-1, n_resamples=RESAMPLES, method=method, rng=0,
            ).confidence_interval
            for method in ("percentile", "BCa")
        }  # fmt: skip


def other_tests(ours: Array, theirs: Array) -> dict[str, Array]:
    """The p values of other paired tests."""
    return {
        "sign flips": permutation_test(
            (ours, theirs), lambda ours, theirs, axis: (ours - theirs).sum(axis),
            permutation_type="samples", vectorized=True, axis=-1, n_resamples=RESAMPLES, rng=0,
        ).pvalue,
        "t of sums": ttest_rel(ours, theirs, axis=-1).pvalue,
    }  # fmt: skip


def coverage_of_means(
    population: Means, replications: int, ours_alone: bool = False
) -> dict[str, float]:
    """The share of test sets whose interval covers the population's mean, by method."""
    hits: Counter[str] = Counter()
    for rng in batches(replications):
        totals, turns = draw_means(population, AT_ONCE, rng)
        mean, error = totals.sum(-1) / turns.sum(-1), standard_error(totals, turns, RESAMPLES)
        intervals = {} if ours_alone else bootstrap_intervals(totals, turns)
        intervals |= {
            "t": difference_interval(mean, error, CONVERSATIONS),
            "t, logit (ours)": mean_interval(mean, error, CONVERSATIONS),
        }
        for method, (low, high) in intervals.items():
            hits[method] += int(((low <= population.mean) & (population.mean <= high)).sum())
    return {method: number / replications for method, number in hits.items()}


def coverage_of_pairs(
    population: Pairs, replications: int, ours_alone: bool = False
) -> tuple[dict[str, float], dict[str, float]]:
    """({method: coverage of the difference}, {test: share with p < 0.05})."""
    hits: Counter[str] = Counter()
    significant: Counter[str] = Counter()
    true = population.means[0] - population.means[1]
    for rng in batches(replications):
        ours, theirs, turns = draw_pairs(population, AT_ONCE, rng)
        difference = (ours - theirs).sum(-1) / turns.sum(-1)
        error = standard_error(ours - theirs, turns, RESAMPLES)
        intervals = {} if ours_alone else bootstrap_intervals(ours - theirs, turns)
        intervals["t (ours)"] = difference_interval(difference, error, CONVERSATIONS)
        tests = {} if ours_alone else other_tests(ours, theirs)
        tests["t (ours)"] = paired_p(difference, error, CONVERSATIONS)
        for method, (low, high) in intervals.items():
            hits[method] += int(((low <= true) & (true <= high)).sum())
        for method, p in tests.items():
            significant[method] += int((p < 0.05).sum())
    return (
        {method: number / replications for method, number in hits.items()},
        {method: number / replications for method, number in significant.items()},
    )


def coverage_of_corrected(population: Judged, replications: int) -> dict[str, float]:
    """The share of test sets whose interval covers the true share of good turns, by method."""
    hits: Counter[str] = Counter()
    for rng in batches(replications):
        good, turns = draw_means(population.truth, AT_ONCE, rng)
        bad = (turns - good).astype(int)
        totals = rng.binomial(good.astype(int), population.sensitivity)
        totals = (totals + rng.binomial(bad, 1 - population.specificity)).astype(float)
        rates, errors = totals.sum(-1) / turns.sum(-1), standard_error(totals, turns, RESAMPLES)
        for mean, error in zip(rates, errors, strict=True):
            rate = Estimate(mean, error, mean_interval(mean, error, CONVERSATIONS))
            table = draw_agreement(population, rng)
            share, interval = corrected_estimate(rate, CONVERSATIONS, "j", Measured("j", table))
            assert share is not None and interval is not None
            intervals = {
                "not corrected": rate.interval,
                "delta method": delta_method(rate, table),
                "corrected (ours)": interval,
            }
            for method, (low, high) in intervals.items():
                hits[method] += int(low <= population.truth.mean <= high)
    return {method: number / replications for method, number in hits.items()}


def draw_agreement(population: Judged, rng: np.random.Generator) -> Agreement:
    """Draw the judge's agreement on the turns on which it is measured."""
    good, bad = population.verdicts
    both_good = int(rng.binomial(good, population.sensitivity))
    both_bad = int(rng.binomial(bad, population.specificity))
    return Agreement(both_good, good - both_good, bad - both_bad, both_bad)


def delta_method(rate: Estimate, table: Agreement) -> tuple[float, float]:
    """Rogan and Gladen's own interval, without moving the shares."""
    assert table.sensitivity is not None and table.specificity is not None
    better = table.sensitivity + table.specificity - 1
    share = (rate.mean + table.specificity - 1) / better
    good, bad = table.both_good + table.only_theirs, table.both_bad + table.only_ours
    variance = rate.standard_error**2
    variance += share**2 * table.sensitivity * (1 - table.sensitivity) / good
    variance += (1 - share) ** 2 * table.specificity * (1 - table.specificity) / bad
    reach = quantile(CONVERSATIONS) * variance**0.5 / better
    return share - reach, share + reach


def batches(replications: int) -> Iterator[np.random.Generator]:
    """Yield one generator per AT_ONCE test sets, so that a longer run starts with the same sets."""
    for number in range(replications // AT_ONCE):
        yield np.random.default_rng(number)


@click.command(help=__doc__)
@click.option("--replications", default=10_000, show_default=True, type=click.IntRange(AT_ONCE))
def main(replications: int) -> None:
    means = [
        (population.label, coverage_of_means(population, replications)) for population in MEANS
    ]
    print(f"Coverage of means, {replications} test sets per row")
    print(tabulate([{"population": label} | hits for label, hits in means], "keys", floatfmt=".3f"))
    judged = [
        (population.truth.label, coverage_of_corrected(population, replications))
        for population in JUDGED
    ]
    print("\nCoverage of means corrected for a judge's errors")
    print(
        tabulate([{"population": label} | hits for label, hits in judged], "keys", floatfmt=".3f")
    )
    pairs = [
        (population.label, *coverage_of_pairs(population, replications)) for population in PAIRS
    ]
    print("\nCoverage of differences")
    lines = [{"pair of cells": label} | hits for label, hits, _ in pairs]
    print(tabulate(lines, "keys", floatfmt=".3f"))
    print("\nShare of tests with p < 0.05: false positives for equal cells, otherwise power")
    lines = [{"pair of cells": label} | significant for label, _, significant in pairs]
    print(tabulate(lines, "keys", floatfmt=".3f"))


if __name__ == "__main__":
    main()
