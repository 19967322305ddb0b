"""What became of every line of a log: read, mapped, split or refused."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from tft.corpus.assemble import SPLIT
from tft.tables import Table

SHOWN = 10
"""Line numbers in the summary for each reason; conversations and the table of refusals hold all."""

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


@dataclass
class FileReport:
    """The counts of one file. A trace is a line, or all lines that name one trace."""

    format: str
    lines: int = 0
    traces: int = 0
    conversations: int = 0
    as_they_stand: int = 0
    passed_over: int = 0
    notes: defaultdict[str, _Tally] = field(default_factory=lambda: defaultdict(_Tally))
    refused: defaultdict[str, _Tally] = field(default_factory=lambda: defaultdict(_Tally))
    redacted: defaultdict[str, _Tally] = field(default_factory=lambda: defaultdict(_Tally))

    def refuse(self, line: int, reason: str) -> None:
        """Count a refusal under its kind, the words before the colon."""
        self.refused[reason.split(":", maxsplit=1)[0]].add(line)

    def take(self, line: int, notes: Mapping[str, int]) -> None:
        """Count a conversation and how its log was read."""
        self.conversations += 1
        self.as_they_stand += not notes
        for note, times in notes.items():
            self.notes[note].add(line, times)

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
        return shown
