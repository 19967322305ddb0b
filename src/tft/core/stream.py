"""Conversations to Parquet and back without holding them all."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tft.core.conversation import Conversation
from tft.core.errors import InputError
from tft.core.tables import CONVERSATIONS, atomic_path, conversation_of, iterate_rows, row_of

ROWS = 1000
"""Conversations in memory at a time, which are also a row group of the file."""


class Stored(Iterable[Conversation]):
    """The conversations of a file, in their order; read anew each time they are gone through.

    Going through them raises InputError where there is no such file, or no such table in it.
    """

    def __init__(self, path: Path) -> None:
        """Of a file that `tables.read_conversations` could read whole."""
        self._path = path

    def __iter__(self) -> Iterator[Conversation]:
        """From the first."""
        return map(conversation_of, iterate_rows(self._path, CONVERSATIONS, ROWS))


def write_stream(path: Path, conversations: Iterable[Conversation]) -> int:
    """Write conversations that come in the order of their ids, whole or not at all.

    The file is one that `tables.read_conversations` reads.

    Returns:
        How many they were.

    Raises:
        InputError: two have one id, or come out of order; and whatever reading them raises.
    """
    rows, last, number = iter(conversations), "", 0
    with (
        atomic_path(path) as beside,
        pq.ParquetWriter(beside, CONVERSATIONS.schema, compression="zstd") as writer,
    ):
        while batch := list(itertools.islice(rows, ROWS)):
            for one in batch:
                if one.id <= last:
                    raise InputError(f"{path}: {one.id!r} after {last!r}: twice, or out of order")
                last = one.id
            writer.write_table(pa.Table.from_pylist(list(map(row_of, batch)), CONVERSATIONS.schema))
            number += len(batch)
    return number
