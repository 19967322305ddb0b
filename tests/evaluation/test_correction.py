"""Scores corrected for a judge's errors: against known intervals, simulations, and other judges."""

import json
from pathlib import Path
from typing import Any

import pytest
from fixtures.repository import ROOT, script
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from tft.core.errors import InputError
from tft.evaluation.agreement import Agreement, corrected
from tft.evaluation.correction import Measured, corrected_estimate, read_measured
from tft.evaluation.statistics import Estimate, mean_interval

SHIPPED = ROOT / "experiments/judge_agreement/judge.json"


def estimate(mean: float, error: float, conversations: int = 34) -> Estimate:
    low, high = mean_interval(mean, error, conversations)
    return Estimate(mean, error, (float(low), float(high)))


def judged(rate: Estimate, *counts: int, conversations: int = 34) -> Any:
    return corrected_estimate(rate, conversations, "j", Measured("j", Agreement(*counts)))


def test_a_judge_that_never_errs_leaves_agresti_and_coull_s_interval() -> None:
    # 60 of 100 independent turns: standard error sqrt(0.6 * 0.4 / 100). Ten million verdicts
    # without an error, so that nothing but the rate is unsure.
    share, interval = judged(estimate(0.6, 0.24**0.5 / 10), 10**7, 0, 0, 10**7)
    assert share == pytest.approx(0.6)
    z = t.ppf(0.975, 33)
    middle = (60 + z**2 / 2) / (100 + z**2)
    half = z * (middle * (1 - middle) / (100 + z**2)) ** 0.5
    assert interval == pytest.approx((middle - half, middle + half), abs=1e-5)


def test_lang_and_reiczigel_s_interval_worked_by_hand() -> None:
    # Rate 0.5 with the standard error of 96 independent turns, so moved it stays 0.5. 28 of 30 good
    # turns and 22 of 25 bad ones known: moved 29/32 and 23/27, J = 0.758102, middle 0.464504
    # (0.5 + 23/27 - 1 over J). Variances: 0.25 / (96 + z^2), 29 * 3 / 32^3, 23 * 4 / 27^3.
    z = t.ppf(0.975, 33)
    assert z == pytest.approx(2.034515)
    better, middle = 29 / 32 + 23 / 27 - 1, (0.5 + 23 / 27 - 1) / (29 / 32 + 23 / 27 - 1)
    missed, faulted = 29 * 3 / 32**3, 23 * 4 / 27**3
    error = (0.25 / (96 + z**2) + middle**2 * missed + (1 - middle) ** 2 * faulted) ** 0.5 / better
    shift = 2 * z**2 * (middle * missed - (1 - middle) * faulted)
    expected = (middle + shift - z * error, middle + shift + z * error)

    share, interval = judged(estimate(0.5, (0.25 / 96) ** 0.5), 28, 2, 3, 22)
    assert share == pytest.approx((0.5 + 22 / 25 - 1) / (28 / 30 + 22 / 25 - 1))
    assert interval == pytest.approx(expected)


@given(
    st.floats(0.01, 0.99), st.floats(0.001, 0.2), st.integers(2, 60),
    st.tuples(*[st.integers(0, 200)] * 4),
)  # fmt: skip
def test_an_interval_contains_its_share_and_stays_between_0_and_1(
    mean: float, error: float, conversations: int, counts: tuple[int, int, int, int]
) -> None:
    rate = estimate(mean, error, conversations)
    share, interval = judged(rate, *counts, conversations=conversations)
    table = Agreement(*counts)
    assert share == corrected(mean, table.sensitivity, table.specificity)
    if share is None:
        assert interval is None
    else:
        assert 0 <= interval[0] <= share <= interval[1] <= 1


def test_fewer_verdicts_make_a_wider_interval() -> None:
    rate = estimate(0.75, 0.02)
    widths = [
        interval[1] - interval[0]
        for times in (1, 4, 100)
        for _, interval in [judged(rate, 24 * times, 1 * times, 2 * times, 9 * times)]
    ]
    assert widths == sorted(widths, reverse=True)
    assert widths[2] > rate.interval[1] - rate.interval[0]  # the errors stretch it even when known


def test_a_rate_of_1_counts_each_conversation_as_one_turn() -> None:
    # 25 of 25 moved by z^2 cases, half of them hits; Lang and Reiczigel's as worked by hand above.
    rate = Estimate(1.0, 0.0, (0.86, 1.0))
    share, interval = judged(rate, 10**7, 0, 0, 10**7, conversations=25)
    z = t.ppf(0.975, 24)
    middle = (25 + z**2 / 2) / (25 + z**2)
    low = middle - z * (middle * (1 - middle) / (25 + z**2)) ** 0.5
    assert (share, interval) == (1.0, (pytest.approx(low, abs=1e-5), 1.0))


def test_scores_are_not_corrected_without_an_applicable_measurement() -> None:
    rate, table = estimate(0.75, 0.02), Agreement(40, 1, 2, 9)
    assert corrected_estimate(rate, 34, "j v2", Measured("j v1", table)) == (None, None)
    assert judged(rate, 10, 10, 10, 10) == (None, None)  # by chance
    assert judged(rate, 10, 1, 0, 0) == (None, None)  # no bad turn was judged
    share, interval = judged(Estimate(1.0, 0.0, None), 40, 1, 2, 9)
    assert (share, interval) == (1.0, None)


def test_corrected_intervals_reach_their_nominal_coverage() -> None:
    intervals = script("benchmarks/interval_coverage.py")
    half_right = intervals.JUDGED[4]
    hits = intervals.coverage_of_corrected(half_right, 2000)
    assert 0.93 <= hits["corrected (ours)"] <= 0.97
    assert hits["not corrected"] < 0.8  # what the correction is for


@pytest.mark.parametrize("content", [None, "[]", "{", '{"judged_by": "j", "both_good": "many"}'])
def test_an_error_about_an_invalid_measurement_says_how_to_fix_it(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "judge.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"judge\.json: not what `make judge-agreement` writes"):
        read_measured(path)


def test_the_shipped_measurement_is_read_as_it_was_written() -> None:
    measured, content = read_measured(SHIPPED), json.loads(SHIPPED.read_text())
    assert measured.summary().items() <= content.items()
    assert content.items() >= measured.agreement.summary().items()
