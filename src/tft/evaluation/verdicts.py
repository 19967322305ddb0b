"""Verdicts as tables and as counts."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tft.conversation import Turn, Verdict


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


def count_verdicts(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """How many turns, how many without a verdict, and the bad ones by the label of their reason."""
    bad = Counter(one.reason.split(":")[0] for one in verdicts if one.good is False)
    return {
        "turns": len(verdicts),
        "no_verdict": sum(verdict.good is None for verdict in verdicts),
        "bad": dict(sorted(bad.items())),
    }
