"""How judges agree, and what a rate of verdicts is worth, against known values and simulations."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tft.core.errors import InputError
from tft.evaluation.agreement import Agreement, agreement, corrected, wilson

counts = st.integers(0, 500)
shares = st.floats(0, 1)


def test_kappa_and_ac1_of_a_table_worked_by_hand():
    # 123 of 125 and 120 of 125 are good, 118 both. Kappa: chance 0.984 * 0.96 + 0.016 * 0.04.
    # AC1: mean rate 0.972, chance 2 * 0.972 * 0.028.
    result = Agreement(118, 5, 2, 0)
    assert result.raw == pytest.approx(0.944)
    assert result.kappa == pytest.approx((0.944 - 0.94528) / (1 - 0.94528))
    assert result.ac1 == pytest.approx((0.944 - 0.054432) / (1 - 0.054432))
    assert result.sensitivity == pytest.approx(118 / 123)
    assert result.specificity == 0


def test_kappa_discounts_agreement_by_chance():
    # 20 both good, 5 only theirs, 10 only ours, 15 both bad: raw 0.7, chance 0.5, kappa 0.4.
    table = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    theirs, ours = zip(*table, strict=True)
    result = agreement(theirs, ours)
    assert result == (20, 5, 10, 15)
    assert (result.raw, result.kappa) == (pytest.approx(0.7), pytest.approx(0.4))


def test_without_bad_turns_specificity_is_unknown():
    assert Agreement(5, 1, 0, 0).specificity is None
    assert Agreement(0, 0, 1, 5).sensitivity is None
    assert Agreement(5, 1, 0, 0).summary()["specificity_95"] is None


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_agreement_counts_pairs_and_keeps_within_its_bounds(pairs):
    theirs, ours = zip(*pairs, strict=True)
    result = agreement(theirs, ours)
    assert sum(result) == len(pairs)
    assert result.raw == sum(a == b for a, b in pairs) / len(pairs)
    assert -1 <= result.kappa <= 1
    assert -1 <= result.ac1 <= 1
    same = agreement(theirs, theirs)
    assert (same.raw, same.kappa, same.ac1) == (1, 1, 1)
    json.dumps(result.summary(), allow_nan=False)


def test_agreement_of_no_verdicts_is_an_error():
    with pytest.raises(InputError, match="no verdicts"):
        agreement([], [])


def test_the_wilson_interval_of_a_share_worked_by_hand():
    # z^2 = 3.841459: of 0 of 10 the upper end is z^2 / (10 + z^2), of 5 of 10 the middle is 0.5 and
    # half the width sqrt(z^2 / (10 + z^2)) / 2.
    assert wilson(0, 10) == [0.0, 0.277533]
    assert wilson(10, 10) == [0.722467, 1.0]
    assert wilson(5, 10) == [0.236593, 0.763407]
    assert wilson(0, 0) is None


@given(shares, st.floats(0.5, 1), st.floats(0.51, 1))
def test_the_correction_undoes_what_a_judge_s_errors_do(truth, sensitivity, specificity):
    rate = truth * sensitivity + (1 - truth) * (1 - specificity)
    assert corrected(rate, sensitivity, specificity) == pytest.approx(truth, abs=1e-6)


@pytest.mark.parametrize(("truth", "sensitivity", "specificity"),
                         [(0.8, 0.99, 0.85), (0.3, 0.9, 0.7), (0.05, 0.75, 0.95)])  # fmt: skip
def test_a_simulated_judge_s_rate_is_corrected_to_the_truth(truth, sensitivity, specificity):
    rng, n = random.Random(7), 100_000
    good = sum(
        rng.random() < (sensitivity if rng.random() < truth else 1 - specificity) for _ in range(n)
    )
    error = 0.5 / n**0.5 / (sensitivity + specificity - 1)
    assert abs(good / n - truth) > 4 * error or truth == 0.8
    assert corrected(good / n, sensitivity, specificity) == pytest.approx(truth, abs=4 * error)


@given(shares, shares, shares)
def test_a_corrected_rate_is_a_rate_or_unknown(rate, sensitivity, specificity):
    result = corrected(rate, sensitivity, specificity)
    assert result is None or 0 <= result <= 1
    assert (result is None) == (sensitivity + specificity - 1 <= 1e-9)


def test_no_rate_is_corrected_without_measured_errors():
    assert corrected(None, 0.9, 0.9) is corrected(0.5, None, 0.9) is corrected(0.5, 0.9, None)
    assert corrected(0.5, 0.9, 0.1) is None
