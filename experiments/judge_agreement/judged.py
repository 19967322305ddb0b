"""The published verdicts: those of another judge on the predictions of other students.

They are used to check metrics and to measure a judge's agreement; nothing trains on them.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from tft.core.conversation import ParseError, ToolCall, Turn, Verdict, from_openai, parse_call
from tft.core.errors import InputError
from tft.core.task import RESPOND
from tft.evaluation.agreement import Agreement, agreement

VERDICT = "llm-as-a-judge"
# The names in the repository, or all files in the folder judged/ of a flat copy.
JUDGED_FILE = re.compile(r"(.*/)?([^/]*-predictions[^/]*|judged/[^/]+)\.jsonl")


class JudgedRow(NamedTuple):
    """A published turn, its raw answer string, and its published scores, including the judge's."""

    turn: Turn
    answer: str
    scores: dict[str, float]

    @property
    def good(self) -> bool:
        """The published judge's verdict."""
        return self.scores[VERDICT] == 1

    @property
    def tool(self) -> str:
        """The tool that the reference calls."""
        return self.turn.reference.name


def read_judged(path: Path) -> list[JudgedRow]:
    """Read a published prediction file: JSON lines with question, answer, prediction, and metrics.

    Raises:
        InputError: a line has another format; names the file and the line.
    """
    return parse_judged(str(path), path.read_bytes())


def parse_judged(where: str, content: bytes) -> list[JudgedRow]:
    """Parse a published prediction file; `where` names it in errors and turns."""
    rows = []
    for number, line in enumerate(content.splitlines()):
        try:
            row = json.loads(line)
            reference = read_call(row["answer"])
            if isinstance(reference, ParseError):
                raise InputError(f"answer: {reference.reason}")
            prefix = from_openai(json.loads(row["question"]))
            prediction = read_call(row["prediction"])
            scores = {key: value for key, value in row.items() if isinstance(value, float)}
            if scores[VERDICT] not in (0, 1):
                raise InputError(f"{VERDICT}: expected 0.0 or 1.0, got {scores[VERDICT]}")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where}:{number + 1}: not a judged prediction ({error})") from error
        name = PurePosixPath(where).stem
        turn = Turn(name, number, prefix, reference, prediction, row["prediction"])
        rows.append(JudgedRow(turn, row["answer"], scores))
    return rows


def measure(rows: Sequence[JudgedRow], verdicts: Sequence[Verdict]) -> dict[str, Agreement]:
    """The agreement of verdicts with the published ones, on all turns and by kind of turn.

    `name_alone` is the agreement of a judge that considers only the function's name. Turns without
    a verdict and kinds without turns are left out.

    Raises:
        InputError: no turn has a verdict.
    """
    pairs = [
        (row, verdict.good)
        for row, verdict in zip(rows, verdicts, strict=True)
        if verdict.good is not None
    ]
    names = [(row, getattr(row.turn.prediction, "name", None) == row.tool) for row in rows]
    groups = {
        "messages": [pair for pair in pairs if pair[0].tool == RESPOND],
        "service_calls": [pair for pair in pairs if pair[0].tool != RESPOND],
        "name_alone": names,
    }
    groups = {"all": pairs} | {name: group for name, group in groups.items() if group}
    return {
        name: agreement([row.good for row, _ in group], [good for _, good in group])
        for name, group in groups.items()
    }


def read_call(text: str) -> ToolCall | ParseError:
    """Parse a published call, with or without tags, with `parameters` or `arguments`."""
    body = text.strip().removeprefix("<tool_call>").removesuffix("</tool_call>")
    try:
        value: Any = json.loads(body)
        return parse_call(value["name"], value.get("arguments", value.get("parameters")))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return ParseError(f"no tool call ({error})")
