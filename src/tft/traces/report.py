"""What happened to every line of a log and its content: read, mapped, left out, or refused."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from tft.core.tables import Table
from tft.traces.assemble import SPLIT

SHOWN = 10
"""Line numbers per reason in the summary; provenance and the table of refusals have all of them."""

KINDS, LONGEST = 200, 200
"""The number of kinds that a tally distinguishes, and the length of their names in characters, so
that a log whose keys are ids does not fill memory."""
OTHERS = "all others"

DIALOGUES = "several dialogues in one trace"

# Every line, or trace of several lines, that resulted in no conversation.
REFUSED = Table(
    pa.schema(
        [
            pa.field("file", pa.string(), nullable=False),
            pa.field("line", pa.int64(), nullable=False),
            pa.field("trace", pa.string(), nullable=False),  # "" if a line is a trace
            pa.field("reason", pa.string(), nullable=False),
        ]
    ),
    ("file", "line", "trace"),
)


@dataclass
class _Tally:
    """The number of traces concerned, the number of times, and the numbers of the first lines."""

    traces: int = 0
    times: int = 0
    lines: list[int] = field(default_factory=list)

    def add(self, line: int, times: int = 1) -> None:
        self.traces += 1
        self.times += times
        if len(self.lines) < SHOWN:
            self.lines.append(line)


class _Tallies(dict[str, _Tally]):
    """Tallies by kind; kinds beyond the first `KINDS` are counted together."""

    def count(self, line: int, times_by_kind: Mapping[str, int]) -> None:
        """Add the counts of one trace, by kind."""
        named: Counter[str] = Counter()
        for kind, times in times_by_kind.items():
            name = kind[:LONGEST]
            if name not in self and len(self) < KINDS:
                self[name] = _Tally()
            named[name if name in self else OTHERS] += times
        for name, times in named.items():
            self.setdefault(name, _Tally()).add(line, times)


@dataclass
class FileReport:
    """The counts of one file. A trace is a line, or all lines with one trace id.

    `left_out` counts, by path, what no reader reads. It is kept in the conversation's provenance if
    it is inside a trace, but not if it is around traces.
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
        """Count a refusal under its kind, which is the text before the colon."""
        self.refused.count(line, {reason.split(":", maxsplit=1)[0]: 1})

    def take(self, line: int, notes: Mapping[str, int]) -> None:
        """Count a conversation and how its log was read."""
        self.conversations += 1
        self.as_they_stand += not notes
        self.notes.count(line, notes)

    @property
    def number_refused(self) -> int:
        """The number of traces that resulted in no conversation."""
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
    """The report of the stage fetch, which is filled while conversations are read."""

    sources: Counter[str] = field(default_factory=Counter)
    files: dict[str, FileReport] = field(default_factory=dict)
    refused: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, file: str, line: int, trace: str, reason: str) -> None:
        """Record a line, or the trace that starts there, that resulted in no conversation."""
        self.files[file].refuse(line, reason)
        self.refused.append({"file": file, "line": line, "trace": trace, "reason": reason})

    def summary(self) -> dict[str, Any]:
        """The report as JSON: conversations by source, and the counts of each log file."""
        return {
            "conversations": dict(sorted(self.sources.items())),
            "files": {name: file.summary() for name, file in self.files.items()},
        }

    def lines(self) -> list[str]:
        """The report in words, for the terminal."""
        output = [f"{source}: {n} conversations" for source, n in sorted(self.sources.items())]
        for name, file in self.files.items():
            output.append(
                f"{name} ({file.format}): {file.lines} lines, {file.traces} traces: "
                f"{file.conversations} conversations ({file.as_they_stand} as they stand), "
                f"{file.number_refused} refused"
            )
            if file.passed_over:
                output.append(
                    f"  passed over, no requests to a chat model: {file.passed_over} lines"
                )
            account = file.summary()
            output += [
                f"  {section}: {reason}: {tally['traces']} of {file.traces} traces, first in line "
                f"{tally['lines'][0]}"
                for section in ("mapped", "split", "refused", "redacted")
                for reason, tally in account[section].items()
            ]
            paths = list(account["left_out"].items())
            output += [
                f"  left out: {path}: {tally['times']} times, first in line {tally['lines'][0]}"
                for path, tally in paths[:SHOWN]
            ]
            if len(paths) > SHOWN:
                output.append(f"  left out: {len(paths) - SHOWN} more, see data/corpus/import.json")
        return output
