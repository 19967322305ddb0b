"""Where a cell's predictions go wrong: by tool, by argument, and by position."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from tft.core.conversation import ParseError, Turn, canonical_json
from tft.core.tables import csv_text
from tft.core.task import RESPOND

Row = Mapping[str, Any]

NO_CALL = "(no call)"
"""Stands for the predicted tool if the output could not be parsed as a call."""

WIDTH = 3  # assistant turns per bin
CURVES = ("judge", "staged_tool_call", "name_accuracy")


def breakdown(turns: Sequence[Turn], rows: Sequence[Row]) -> dict[str, Any]:
    """Counts and means of one cell.

    Args:
        turns: All assistant turns of the test conversations, in order.
        rows: Their rows of `tables.SCORES`, aligned by position.

    Returns:
        `confusion` and `arguments` (see the functions), and means of CURVES in bins from `first` to
        `last`: `by_turn` bins by the number of a turn among the assistant turns of its
        conversation, starting at 1, and `by_length` by the number of those turns.
    """
    lengths = Counter(turn.conversation for turn in turns)
    turns_so_far: Counter[str] = Counter()
    numbers = []
    for turn in turns:
        turns_so_far[turn.conversation] += 1
        numbers.append(turns_so_far[turn.conversation])
    return {
        "confusion": confusion(rows),
        "arguments": arguments(turns),
        "by_turn": _binned(numbers, rows),
        "by_length": _binned([lengths[turn.conversation] for turn in turns], rows),
    }


def confusion(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """{reference tool: {predicted tool: number of turns}}, the most frequent first."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for row in sorted(rows, key=lambda row: (row["tool"], row["predicted_tool"] or NO_CALL)):
        counted[row["tool"]][row["predicted_tool"] or NO_CALL] += 1
    return {tool: dict(predicted.most_common()) for tool, predicted in counted.items()}


def arguments(turns: Sequence[Turn]) -> dict[str, dict[str, dict[str, int]]]:
    """{tool: {argument: {right, wrong, missing, invented}}} of service calls with the right tool.

    `missing` counts arguments that only the reference has, `invented` those only the prediction
    has.
    """
    counted: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for turn in turns:
        reference, prediction = turn.reference, turn.prediction
        if isinstance(prediction, ParseError) or prediction.name != reference.name:
            continue
        if reference.name == RESPOND:
            continue
        for name in reference.arguments | prediction.arguments:
            if name not in prediction.arguments:
                outcome = "missing"
            elif name not in reference.arguments:
                outcome = "invented"
            else:
                values = [call.arguments[name] for call in (reference, prediction)]
                equal = canonical_json(values[0]) == canonical_json(values[1])
                outcome = "right" if equal else "wrong"
            counted[reference.name][name][outcome] += 1
    return {
        tool: {
            name: {key: names[name][key] for key in ("right", "wrong", "missing", "invented")}
            for name in sorted(names)
        }
        for tool, names in sorted(counted.items())
    }


def _binned(numbers: Sequence[int], rows: Sequence[Row]) -> list[dict[str, Any]]:
    bins: dict[int, list[Row]] = defaultdict(list)
    for number, row in zip(numbers, rows, strict=True):
        bins[(number - 1) // WIDTH].append(row)
    return [
        {
            "first": index * WIDTH + 1,
            "last": (index + 1) * WIDTH,
            "n": len(bins[index]),
            **{key: round(fmean(row[key] for row in bins[index]), 6) for key in CURVES},
        }
        for index in sorted(bins)
    ]


def confusion_csv(rows: Sequence[Row]) -> str:
    """CSV with one line per turn, for `dvc plots`."""
    lines = [
        {"reference": row["tool"], "predicted": row["predicted_tool"] or NO_CALL} for row in rows
    ]
    return csv_text(["reference", "predicted"], lines)


def curves_csv(summary: Mapping[str, Any]) -> str:
    """CSV of `by_turn` and `by_length` of a breakdown, for `dvc plots`."""
    lines = [
        {"split": split, **line} for split in ("by_turn", "by_length") for line in summary[split]
    ]
    return csv_text(["split", "first", "last", "n", *CURVES], lines)


def arguments_csv(summary: Mapping[str, Any]) -> str:
    """CSV of `arguments` of a breakdown with one line per outcome that occurs, for `dvc plots`."""
    lines = [
        {"tool": tool, "argument": name, "outcome": outcome, "turns": turns}
        for tool, names in summary["arguments"].items()
        for name, outcomes in names.items()
        for outcome, turns in outcomes.items()
        if turns
    ]
    return csv_text(["tool", "argument", "outcome", "turns"], lines)
