"""Verdicts as tables and counts."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tft.core.conversation import Conversation, Turn, Verdict
from tft.core.errors import InputError
from tft.core.tables import VERDICTS, read_rows, read_turns


def verdict_rows(
    turns: Sequence[Turn], verdicts: Sequence[Verdict], judged_by: str
) -> list[dict[str, Any]]:
    """Rows of `tables.VERDICTS`; turns and verdicts are aligned by position."""
    return [
        {
            "conversation": turn.conversation,
            "turn": turn.index,
            "judge": judged_by,
            "good": verdict.good,
            "reason": verdict.reason,
            "evidence": verdict.evidence,
        }
        for turn, verdict in zip(turns, verdicts, strict=True)
    ]


def prediction_files(data: Path) -> list[Path]:
    """The prediction files of policies and teacher, then of students, each group sorted by name.

    Raises:
        InputError: there are no students' predictions; names the stage that makes them.
    """
    students = sorted((data / "predictions/students").glob("*.parquet"))
    if not students:
        raise InputError(
            f"{data}/predictions: no predictions of students; `dvc repro predict` makes them"
        )
    baselines = [
        *(data / "predictions/policies").glob("*.parquet"),
        *(data / "teacher").glob("*.parquet"),
    ]
    return [*sorted(baselines, key=lambda path: path.name), *students]


def read_judged(
    predictions: Path, verdicts: Path, tests: Sequence[Conversation]
) -> list[tuple[Turn, dict[str, Any]]]:
    """Every predicted turn with its row of `tables.VERDICTS`, in the order of the test turns.

    Raises:
        InputError: the two files do not hold the same turns; names the stage that fixes this.
    """
    turns = read_turns(predictions, tests)
    rows = {(row["conversation"], row["turn"]): row for row in read_rows(verdicts, VERDICTS)}
    if rows.keys() != {(turn.conversation, turn.index) for turn in turns}:
        raise InputError(
            f"{verdicts}: its turns are not those of {predictions}; run `dvc repro judge` again"
        )
    return [(turn, rows[turn.conversation, turn.index]) for turn in turns]


def count_verdicts(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The number of turns, of turns without a verdict, and of bad turns by label of the reason."""
    bad = Counter(verdict.reason.split(":")[0] for verdict in verdicts if verdict.good is False)
    return {
        "turns": len(verdicts),
        "no_verdict": sum(verdict.good is None for verdict in verdicts),
        "bad": dict(sorted(bad.items())),
    }
