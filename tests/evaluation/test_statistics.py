"""Standard errors, intervals and the paired test: what must hold for any scores, and how often."""

from typing import Any

import pytest
from fixtures.repository import script
from hypothesis import given, settings
from hypothesis import strategies as st

from tft.core.errors import InputError
from tft.evaluation.statistics import compare, estimate, holm
from tft.evaluation.summary import compare_pipelines

Rows = list[dict[str, Any]]
cells = st.lists(
    st.tuples(
        st.sampled_from("abcdef"), st.sampled_from([0, 0.25, 0.5, 1]), st.sampled_from([0, 1])
    ),
    min_size=1,
    max_size=30,
)


def rows(scores: list[tuple[str, float]]) -> Rows:
    return [
        {"conversation": conversation, "turn": turn, "judge": score}
        for turn, (conversation, score) in enumerate(scores)
    ]


def two_cells(drawn: list[tuple[str, float, float]]) -> tuple[Rows, Rows]:
    return rows([(name, one) for name, one, _ in drawn]), rows([(name, b) for name, _, b in drawn])


@given(cells)
@settings(max_examples=40)
def test_an_interval_contains_its_mean_and_only_possible_scores(
    drawn: list[tuple[str, float, float]],
) -> None:
    one, _ = two_cells(drawn)
    mean, error, interval = estimate(one, "judge")
    assert mean == pytest.approx(sum(row["judge"] for row in one) / len(one))
    if interval and error:
        assert 0 <= interval[0] < mean < interval[1] <= 1
    elif interval:
        assert {row["judge"] for row in one} in ({0}, {1})
        assert 0 <= interval[0] <= mean <= interval[1] <= 1
    else:
        assert not error  # one conversation, or all with the same mean


@given(cells, st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_the_order_of_rows_changes_nothing(
    drawn: list[tuple[str, float, float]], random: Any
) -> None:
    one, other = two_cells(drawn)
    mixed = random.sample(one, len(one))
    assert estimate(mixed, "judge") == estimate(one, "judge")
    assert compare(mixed, other, "judge") == compare(one, other, "judge")


@given(cells)
@settings(max_examples=40)
def test_the_p_value_agrees_with_the_interval_of_a_difference(
    drawn: list[tuple[str, float, float]],
) -> None:
    one, other = two_cells(drawn)
    difference, interval, p = compare(one, other, "judge")
    assert compare(other, one, "judge").difference == -difference
    assert compare(other, one, "judge").p == pytest.approx(p)
    if interval:
        assert interval[0] < difference < interval[1]
        assert (p < 0.05) == (not interval[0] <= 0 <= interval[1])
    else:
        assert p == 1


def test_equal_cells_do_not_differ() -> None:
    one = rows([("a", 1), ("a", 0), ("b", 0.25), ("c", 1)])
    assert compare(one, one, "judge") == (0, None, 1)


def test_the_bootstrap_agrees_with_the_calculated_standard_error() -> None:
    # A turn a conversation, 30 of 40 good: the sample deviation is sqrt(0.75 * 0.25 * 40 / 39),
    # the standard error of the mean that over sqrt(40), 0.06934. With 9,999 resamples it is known
    # to about 1/sqrt(2 * 9999), under one per cent.
    one = rows([(f"c{number}", float(number < 30)) for number in range(40)])
    assert estimate(one, "judge").standard_error == pytest.approx(0.06934, rel=0.03)
    # All turns twice: as many conversations, so nothing is known better.
    twice = [*one, *(row | {"turn": row["turn"] + 100} for row in one)]
    assert estimate(twice, "judge") == estimate(one, "judge")


def test_scores_that_are_all_0_or_all_1_are_bounded_by_the_number_of_conversations() -> None:
    # Clopper and Pearson's: of a share p, 20 conversations show nothing with a probability of
    # (1 - p) ** 20, which is 0.025 at p = 0.1684. How many turns each has changes nothing.
    none = rows([(f"c{number % 20}", 0.0) for number in range(50)])
    mean, _, interval = estimate(none, "judge")
    assert (mean, interval) == (0, (0, pytest.approx(0.1684, abs=1e-4)))
    every = [row | {"judge": 1.0} for row in none]
    mean, _, interval = estimate(every, "judge")
    assert (mean, interval) == (1, (pytest.approx(1 - 0.1684, abs=1e-4), 1))
    assert estimate([row | {"judge": 0.5} for row in none], "judge").interval is None


def test_one_conversation_has_no_interval() -> None:
    one, other = rows([("a", 1), ("a", 0)]), rows([("a", 1), ("a", 1)])
    assert estimate(one, "judge") == (0.5, None, None)
    assert compare(one, other, "judge") == (-0.5, None, 1)


def test_cells_of_other_turns_are_not_compared() -> None:
    one = rows([("a", 1), ("b", 0)])
    with pytest.raises(InputError, match="s-tft and s-direct: turn 1 of conversation 'b'"):
        compare_pipelines({"s-tft": one, "s-direct": one[:1]}, ["s"])


def test_holm_multiplies_by_the_number_of_remaining_tests() -> None:
    # 0.005 * 4, 0.01 * 3, 0.03 * 2; then 0.04 * 1, which may not get ahead of 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_no_correction_and_bonferronis(p: list[float]) -> None:
    corrected = holm(p)
    assert all(a <= b <= min(1, a * len(p)) for a, b in zip(p, corrected, strict=True))
    ranked = [value for _, value in sorted(zip(p, corrected, strict=True))]
    assert ranked == sorted(ranked)


def test_scenarios_are_compared_and_corrected_together() -> None:
    # 12 conversations of 4 turns; tft is right once more in ten of them, and in two no more.
    direct = rows([(f"c{n:02}", float(turn < 2)) for n in range(12) for turn in range(4)])
    tft = [
        row | {"judge": float(row["judge"] or (row["turn"] % 4 == 2 and row["turn"] < 40))}
        for row in direct
    ]
    scores = {"s-tft": tft, "s-direct": direct, "t-tft": direct, "t-direct": direct}
    found = compare_pipelines(scores, ["s", "t"])
    assert (found["s"]["tft"], found["s"]["direct"]) == (pytest.approx(34 / 48, abs=1e-6), 0.5)
    assert found["s"]["difference"] == pytest.approx(10 / 48, abs=1e-6)
    assert found["s"]["p_holm"] == pytest.approx(2 * found["s"]["p"], abs=2e-6)
    assert found["s"]["p"] < 0.001
    assert (found["t"]["difference"], found["t"]["interval"], found["t"]["p_holm"]) == (0, None, 1)
    assert compare_pipelines(scores, ["s", "t"]) == found


# --- how often -----------------------------------------------------------------------------------
# 10,000 replications: a coverage of 0.95 and a rate of 0.05 come out with a deviation of 0.002, so
# that bounds 0.01 away mean something. Draws are seeded: what comes out is the same every time.
INTERVALS = script("benchmarks/interval_coverage.py")
REPLICATIONS = 10_000


@pytest.mark.parametrize("population", INTERVALS.MEANS, ids=lambda one: one.label)
def test_intervals_of_means_reach_their_nominal_coverage(population: Any) -> None:
    hits = INTERVALS.coverage_of_means(population, REPLICATIONS, ours_alone=True)
    assert 0.93 <= hits["t, logit (ours)"] <= 0.97


@pytest.mark.parametrize("pair", INTERVALS.PAIRS, ids=lambda one: one.label)
def test_tests_of_differences_reach_their_nominal_level_and_power(pair: Any) -> None:
    hits, found = INTERVALS.coverage_of_pairs(pair, REPLICATIONS, ours_alone=True)
    assert 0.93 <= hits["t (ours)"] <= 0.97
    if pair.means[0] == pair.means[1]:
        assert 0.04 <= found["t (ours)"] <= 0.06
    else:
        assert found["t (ours)"] > 0.8  # a difference of 0.1 is found


def test_the_bootstraps_own_interval_is_too_short() -> None:
    hits = INTERVALS.coverage_of_means(INTERVALS.MEANS[0], 2000)
    assert hits["percentile"] < hits["t, logit (ours)"]  # why we have not taken that
