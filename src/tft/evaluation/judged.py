"""The published verdicts: what a judge of another make said of other students' predictions.

They check the metrics and say how far a judge agrees with the published one; nothing trains on
them.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tft.conversation import ParseError, ToolCall, Turn, from_openai, parse_call
from tft.errors import InputError


class JudgedRow(NamedTuple):
    """A published turn, its raw answer string and its published scores, judge included."""

    turn: Turn
    answer: str
    scores: dict[str, float]


def read_judged(path: Path) -> list[JudgedRow]:
    """Read a published prediction file (JSON lines: question, answer, prediction and metrics).

    Raises:
        InputError: names the file and the line that is not of that form.
    """
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines()):
        try:
            row = json.loads(line)
            reference = read_call(row["answer"])
            if isinstance(reference, ParseError):
                raise InputError(f"answer: {reference.reason}")
            prefix = from_openai(json.loads(row["question"]))
            prediction = read_call(row["prediction"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}:{number + 1}: not a judged prediction ({error})") from error
        turn = Turn(path.stem, number, prefix, reference, prediction, row["prediction"])
        scores = {key: value for key, value in row.items() if isinstance(value, float)}
        rows.append(JudgedRow(turn, row["answer"], scores))
    return rows


def read_call(text: str) -> ToolCall | ParseError:
    """A published call: with or without tags, `parameters` or `arguments`."""
    body = text.strip().removeprefix("<tool_call>").removesuffix("</tool_call>")
    try:
        value: Any = json.loads(body)
        return parse_call(value["name"], value.get("arguments", value.get("parameters")))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return ParseError(f"no tool call ({error})")


class Agreement(NamedTuple):
    """Two judges on the same turns: counts of (theirs, ours)."""

    both_good: int
    only_theirs: int
    only_ours: int
    both_bad: int

    @property
    def raw(self) -> float:
        """The share of turns with the same verdict."""
        return (self.both_good + self.both_bad) / sum(self)

    @property
    def kappa(self) -> float:
        """Cohen's kappa: agreement beyond what the two rates of "good" give by chance."""
        n = sum(self)
        theirs = (self.both_good + self.only_theirs) / n
        ours = (self.both_good + self.only_ours) / n
        chance = theirs * ours + (1 - theirs) * (1 - ours)
        return 1.0 if chance == 1 else (self.raw - chance) / (1 - chance)


def agreement(theirs: Sequence[bool], ours: Sequence[bool]) -> Agreement:
    """Cross-tabulate two judges' verdicts (True is good), aligned by position."""
    pairs = list(zip(theirs, ours, strict=True))
    if not pairs:
        raise InputError("no verdicts to compare")
    return Agreement(
        pairs.count((True, True)),
        pairs.count((True, False)),
        pairs.count((False, True)),
        pairs.count((False, False)),
    )
