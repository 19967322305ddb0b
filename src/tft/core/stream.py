"""Stream conversations to Parquet and back without holding all of them in memory."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tft.core.conversation import Conversation
from tft.core.errors import InputError
from tft.core.tables import CONVERSATIONS, atomic_path, conversation_of, iterate_rows, row_of

ROWS = 1000
"""Conversations in memory at a time, and rows per row group of the file."""


class Stored(Iterable[Conversation]):
    """The conversations of a file, in file order. Each iteration reads the file again.

    Iterating raises InputError if the file does not exist or does not hold a table of
    conversations.
    """

    def __init__(self, path: Path) -> None:
        """Open nothing yet; `path` is a file that `tables.read_conversations` can read."""
        self._path = path

    def __iter__(self) -> Iterator[Conversation]:
        """Iterate from the first conversation."""
        return map(conversation_of, iterate_rows(self._path, CONVERSATIONS, ROWS))


def write_stream(path: Path, conversations: Iterable[Conversation]) -> int:
    """Write conversations that arrive in the order of their ids, all or none.

    The result is a file that `tables.read_conversations` can read.

    Returns:
        The number of conversations.

    Raises:
        InputError: two conversations share an id or arrive out of order, or reading them failed.
    """
    remaining, last_id, written = iter(conversations), "", 0
    with (
        atomic_path(path) as beside,
        pq.ParquetWriter(beside, CONVERSATIONS.schema, compression="zstd") as writer,
    ):
        while batch := list(itertools.islice(remaining, ROWS)):
            for conversation in batch:
                if conversation.id <= last_id:
                    raise InputError(
                        f"{path}: {conversation.id!r} after {last_id!r}: twice, or out of order"
                    )
                last_id = conversation.id
            writer.write_table(pa.Table.from_pylist(list(map(row_of, batch)), CONVERSATIONS.schema))
            written += len(batch)
    return written
