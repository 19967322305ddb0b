"""Conversations to Parquet without holding them all."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tft.conversation import Conversation, canonical_json
from tft.errors import InputError
from tft.tables import CONVERSATIONS, atomic_path, message_rows

ROWS = 1000
"""Conversations in memory at a time, which are also a row group of the file."""


def write_stream(path: Path, conversations: Iterable[Conversation]) -> None:
    """Write conversations that come in the order of their ids, whole or not at all.

    The file is one that `tables.read_conversations` reads.

    Raises:
        InputError: two have one id, or come out of order; and whatever reading them raises.
    """
    rows, last = iter(conversations), ""
    with (
        atomic_path(path) as beside,
        pq.ParquetWriter(beside, CONVERSATIONS.schema, compression="zstd") as writer,
    ):
        while batch := list(itertools.islice(rows, ROWS)):
            for one in batch:
                if one.id <= last:
                    raise InputError(f"{path}: {one.id!r} after {last!r}: twice, or out of order")
                last = one.id
            writer.write_table(pa.Table.from_pylist(list(map(_row, batch)), CONVERSATIONS.schema))


def _row(one: Conversation) -> dict[str, Any]:
    return {
        "id": one.id,
        "source": one.source,
        "messages": message_rows(one.messages),
        "provenance": canonical_json(one.provenance),
    }
