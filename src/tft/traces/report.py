"""What became of every line of a log, and of all that it holds: read, mapped, left out, refused."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from tft.core.tables import Table
from tft.traces.assemble import SPLIT

SHOWN = 10
"""Line numbers in the summary for each reason; conversations and the table of refusals hold all."""

KINDS, LONGEST = 200, 200
"""Kinds of one thing that a file's report tells apart, and characters of their names: a log whose
keys are ids must not fill memory."""
OTHERS = "all others"

DIALOGUES = "several dialogues in one trace"

# Every line, or trace of several lines, that gave no conversation.
REFUSED = Table(
    pa.schema(
        [
            pa.field("file", pa.string(), nullable=False),
            pa.field("line", pa.int64(), nullable=False),
            pa.field("trace", pa.string(), nullable=False),  # "" where a line is a trace
            pa.field("reason", pa.string(), nullable=False),
        ]
    ),
    ("file", "line", "trace"),
)


@dataclass
class _Tally:
    """How many traces something happened to, how many times, and where first."""

    traces: int = 0
    times: int = 0
    lines: list[int] = field(default_factory=list)

    def add(self, line: int, times: int = 1) -> None:
        self.traces += 1
        self.times += times
        if len(self.lines) < SHOWN:
            self.lines.append(line)


class _Tallies(dict[str, _Tally]):
    """Tallies by kind; kinds beyond the first `KINDS` are one."""

    def count(self, line: int, found: Mapping[str, int]) -> None:
        """Count what a trace holds, by kind how many times."""
        named: Counter[str] = Counter()
        for kind, times in found.items():
            name = kind[:LONGEST]
            if name not in self and len(self) < KINDS:
                self[name] = _Tally()
            named[name if name in self else OTHERS] += times
        for name, times in named.items():
            self.setdefault(name, _Tally()).add(line, times)


@dataclass
class FileReport:
    """The counts of one file. A trace is a line, or all lines that name one trace.

    `left_out` counts what no reader reads, by its path. What a trace holds of it is kept in the
    conversation's provenance, what stands around traces is not.
    """

    format: str
    lines: int = 0
    traces: int = 0
    conversations: int = 0
    as_they_stand: int = 0
    passed_over: int = 0
    left_out: _Tallies = field(default_factory=_Tallies)
    notes: _Tallies = field(default_factory=_Tallies)
    refused: _Tallies = field(default_factory=_Tallies)
    redacted: _Tallies = field(default_factory=_Tallies)

    def refuse(self, line: int, reason: str) -> None:
        """Count a refusal under its kind, the words before the colon."""
        self.refused.count(line, {reason.split(":", maxsplit=1)[0]: 1})

    def take(self, line: int, notes: Mapping[str, int]) -> None:
        """Count a conversation and how its log was read."""
        self.conversations += 1
        self.as_they_stand += not notes
        self.notes.count(line, notes)

    @property
    def number_refused(self) -> int:
        """Traces that gave nothing."""
        return sum(tally.traces for tally in self.refused.values())

    def summary(self) -> dict[str, Any]:
        """The report as JSON."""
        split = {SPLIT, DIALOGUES}
        return {
            "format": self.format,
            "lines": self.lines,
            "traces": self.traces,
            "conversations": self.conversations,
            "as_they_stand": self.as_they_stand,
            "passed_over": self.passed_over,
            "mapped": {note: vars(t) for note, t in _most(self.notes) if note not in split},
            "split": {note: vars(t) for note, t in _most(self.notes) if note in split},
            "left_out": {
                path: {"times": t.times, "lines": t.lines} for path, t in _most(self.left_out)
            },
            "refused": {reason: vars(t) for reason, t in _most(self.refused)},
            "redacted": {entity: vars(t) for entity, t in _most(self.redacted)},
        }


def _most(tallies: Mapping[str, _Tally]) -> list[tuple[str, _Tally]]:
    return sorted(tallies.items(), key=lambda pair: (-pair[1].traces, pair[0]))


@dataclass
class ImportReport:
    """What fetch has to say about what it read; filled while conversations are taken from it."""

    sources: Counter[str] = field(default_factory=Counter)
    files: dict[str, FileReport] = field(default_factory=dict)
    refused: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, file: str, line: int, trace: str, reason: str) -> None:
        """Note a line, or the trace that begins there, that gave no conversation."""
        self.files[file].refuse(line, reason)
        self.refused.append({"file": file, "line": line, "trace": trace, "reason": reason})

    def summary(self) -> dict[str, Any]:
        """The report as JSON: conversations by source, and each log file's account."""
        return {
            "conversations": dict(sorted(self.sources.items())),
            "files": {name: file.summary() for name, file in self.files.items()},
        }

    def lines(self) -> list[str]:
        """The report in words, for the terminal."""
        shown = [f"{source}: {n} conversations" for source, n in sorted(self.sources.items())]
        for name, file in self.files.items():
            shown.append(
                f"{name} ({file.format}): {file.lines} lines, {file.traces} traces: "
                f"{file.conversations} conversations ({file.as_they_stand} as they stand), "
                f"{file.number_refused} refused"
            )
            if file.passed_over:
                shown.append(
                    f"  passed over, no requests to a chat model: {file.passed_over} lines"
                )
            account = file.summary()
            shown += [
                f"  {what}: {reason}: {tally['traces']} of {file.traces} traces, first in line "
                f"{tally['lines'][0]}"
                for what in ("mapped", "split", "refused", "redacted")
                for reason, tally in account[what].items()
            ]
            paths = list(account["left_out"].items())
            shown += [
                f"  left out: {path}: {tally['times']} times, first in line {tally['lines'][0]}"
                for path, tally in paths[:SHOWN]
            ]
            if len(paths) > SHOWN:
                shown.append(f"  left out: {len(paths) - SHOWN} more, see data/corpus/import.json")
        return shown
