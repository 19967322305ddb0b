"""Several training seeds: what is averaged over a cell's students, and what is kept apart."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tft.core.task import RESPOND
from tft.evaluation.summary import (
    MEANS,
    average,
    compare_students,
    summarize,
    summarize_students,
)

Rows = list[dict[str, Any]]


def student(scores: list[float], failures: int = 0) -> Rows:
    """Rows of two turns a conversation, the second a service call."""
    return [
        {
            "conversation": f"c{turn // 2:02}",
            "turn": turn,
            "tool": "BookTrip" if turn % 2 else RESPOND,
            "predicted_tool": RESPOND,
            "parse_failure": turn < failures,
            **dict.fromkeys(MEANS, score),
        }
        for turn, score in enumerate(scores)
    ]


def test_the_summary_of_one_student_is_its_own() -> None:
    rows = student([1.0, 0.0, 0.25, 1.0], failures=1)
    assert summarize_students({"s-tft-1": rows}) == summarize(rows)
    assert compare_students({"s-tft-1": rows}, {"s-direct-1": rows}) == {}


def test_a_turns_scores_are_means_over_the_students() -> None:
    averaged = average(
        {"a": student([1.0, 0.0]), "b": student([0.0, 0.0]), "c": student([0.5, 1.0])}
    )
    assert [row["judge"] for row in averaged] == pytest.approx([0.5, 1 / 3])
    assert [(row["conversation"], row["turn"]) for row in averaged] == [("c00", 0), ("c00", 1)]


def test_spread_across_seeds_and_sampling_error_are_independent() -> None:
    # Seeds differ, conversations do not: a spread, no sampling error.
    seeds = summarize_students({"a": student([1.0] * 8), "b": student([0.0] * 8)})
    assert (seeds["judge"], seeds["standard_errors"]["judge"]) == (0.5, 0)
    assert seeds["intervals"]["judge"] is None
    assert seeds["spread"]["judge"] == 0.707107  # of 0 and 1: sqrt(2 * 0.5 ** 2 / 1)
    # Conversations differ, seeds do not: no spread, the interval of any one of the students.
    one = student([1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0])
    sampled = summarize_students({"a": one, "b": one, "c": one})
    assert set(sampled["spread"].values()) == {0.0}
    assert sampled["intervals"] == summarize(one)["intervals"]


def test_students_with_different_errors_have_a_narrower_interval_together() -> None:
    """Conversations are drawn with averaged turns: what seeds even out is no error of sampling."""
    a, b = [1.0, 1.0, 0.0, 0.0] * 5, [0.0, 0.0, 1.0, 1.0] * 5
    assert summarize(student(a))["standard_errors"]["judge"] > 0.1
    assert summarize_students({"a": student(a), "b": student(b)})["standard_errors"]["judge"] == 0


def test_counts_are_means_over_students() -> None:
    students = {"a": student([0.0] * 4, failures=1), "b": student([0.0] * 4, failures=2)}
    summary = summarize_students(students)
    assert (summary["n"], summary["parse_failures"]) == (4, 1.5)
    assert [one["parse_failures"] for one in summary["students"].values()] == [1, 2]
    summary = summarize_students({**students, "c": student([0.0] * 4, failures=3)})
    assert repr(summary["parse_failures"]) == "2"


def test_a_difference_has_one_value_per_seed() -> None:
    tft = {"tft-1": student([1.0] * 4), "tft-2": student([1.0, 1.0, 1.0, 0.0])}
    direct = {"direct-1": student([0.5] * 4), "direct-2": student([0.75] * 4)}
    assert compare_students(tft, direct) == {"differences": [0.5, 0.0], "spread": 0.353553}


@given(
    st.integers(1, 6).flatmap(
        lambda turns: st.lists(
            st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=turns, max_size=turns),
            min_size=2,
            max_size=4,
        )
    )
)
@settings(max_examples=20)
def test_a_cells_scores_are_the_means_of_its_students_scores(drawn: list[list[float]]) -> None:
    summary = summarize_students({str(seed): student(one) for seed, one in enumerate(drawn)})
    each = summary["students"].values()
    assert len(each) == len(drawn)
    for key in summary["spread"]:
        mean = sum(one[key] for one in each) / len(each)
        assert summary[key] == pytest.approx(mean, abs=2e-6)
