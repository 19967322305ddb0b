"""JSON Lines in bounded memory: one record at a time, or all records of one dialogue at a time."""

import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

LONGEST = 1 << 26
"""The greatest length of a line, in bytes: 64 MiB."""


class Line(NamedTuple):
    """A line that is not blank: its number, from 1, and its object or what is wrong with it."""

    number: int
    record: dict[str, Any] | None
    flaw: str = ""


def read_lines(path: Path, longest: int = LONGEST) -> Iterator[Line]:
    """Yield every line of a UTF-8 file that is not blank."""
    with path.open("rb") as file:
        for number in itertools.count(1):
            line = file.readline(longest)
            if not line:
                return
            if len(line) == longest and not line.endswith(b"\n"):
                while (remaining := file.readline(longest)) and not remaining.endswith(b"\n"):
                    pass
                yield Line(number, None, f"too long: more than {longest:,} bytes")
            elif line.strip():
                yield _parsed(number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)


def _parsed(number: int, line: bytes) -> Line:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        return Line(
            number, None, f"not UTF-8: byte {error.object[error.start]:#04x} at {error.start}"
        )
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Line(number, None, f"not JSON: {error}")
    if not isinstance(value, dict):
        # The value is not quoted, because it has not been searched for personal data.
        return Line(number, None, f"no object: a {type(value).__name__}")
    return Line(number, value)


class Piece(NamedTuple):
    """A record that belongs to a dialogue, and the number of the line that holds it."""

    dialogue: str
    line: int
    record: Any


def grouped(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Yield the pieces of each dialogue, with dialogues in the order of their first pieces.

    Logs interleave dialogues, so no dialogue is known to be complete before the end of the file.
    Until then SQLite keeps the pieces in a temporary file, which is as large as the log. Memory
    holds one dialogue at a time.
    """
    with closing(sqlite3.connect("")) as database:  # no name: a temporary file
        database.execute("create table piece (dialogue text, line integer, record text)")
        database.executemany(
            "insert into piece values (?, ?, ?)",
            # JSON in ASCII, because SQLite does not accept lone surrogates.
            (
                (json.dumps(piece.dialogue), piece.line, json.dumps(piece.record))
                for piece in pieces
            ),
        )
        database.execute("create index of_dialogue on piece (dialogue)")
        names = database.execute("select dialogue from piece group by dialogue order by min(rowid)")
        for (name,) in names:
            rows = database.execute(
                "select line, record from piece where dialogue = ? order by rowid", (name,)
            )
            yield [Piece(json.loads(name), line, json.loads(text)) for line, text in rows]
