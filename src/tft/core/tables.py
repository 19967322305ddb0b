"""Parquet tables: one declared schema per table, checked on reading and writing.

Files are written completely or not at all. Rows are sorted by their key columns and carry no
timestamps, so that equal content gives equal bytes and DVC stops where nothing changed.
"""

import csv
import io
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tft.core.conversation import (
    Conversation,
    Message,
    ParseError,
    ToolCall,
    Turn,
    canonical_json,
)
from tft.core.errors import InputError


class Table(NamedTuple):
    """The columns of a table, and the key columns, which identify a row and order the file."""

    schema: pa.Schema
    key: tuple[str, ...]


def _table(key: tuple[str, ...], columns: Mapping[str, pa.DataType], nullable: set[str]) -> Table:
    fields = [pa.field(name, kind, nullable=name in nullable) for name, kind in columns.items()]
    return Table(pa.schema(fields), key)


# Arguments are stored as canonical JSON strings, because Arrow silently fills a column of mixed
# structs with nulls.
MESSAGE = pa.struct(
    [
        pa.field("role", pa.string(), nullable=False),
        pa.field("content", pa.string()),
        pa.field("name", pa.string()),
        pa.field("arguments", pa.string()),
    ]
)
CONVERSATIONS = _table(
    ("id",),
    {
        "id": pa.string(),
        "source": pa.string(),
        "messages": pa.list_(MESSAGE),
        "provenance": pa.string(),
    },
    nullable=set(),
)

# A turn is identified by the conversation's id and the index of the assistant message.
TURN = {"conversation": pa.string(), "turn": pa.int32()}
ANSWERS = _table(
    ("conversation", "turn"),
    {**TURN, "raw": pa.string(), "finish_reason": pa.string()},
    nullable=set(),
)
PREDICTIONS = _table(
    ("conversation", "turn"),
    {**TURN, "raw": pa.string(), "name": pa.string(), "arguments": pa.string(),
     "error": pa.string(), "finish_reason": pa.string()},
    nullable={"name", "arguments", "error"},
)  # fmt: skip
VERDICTS = _table(
    ("conversation", "turn"),
    {**TURN, "judge": pa.string(), "good": pa.bool_(), "reason": pa.string(),
     "evidence": pa.string()},
    nullable={"good", "evidence"},  # good is null where no judge gave a verdict
)  # fmt: skip
SCORES = _table(
    ("conversation", "turn"),
    {**TURN, "tool": pa.string(), "predicted_tool": pa.string(), "judge": pa.float64(),
     "staged_tool_call": pa.float64(), "binary_tool_call": pa.float64(),
     "tool_call_equivalence": pa.float64(), "rouge": pa.float64(), "name_accuracy": pa.float64(),
     "parse_failure": pa.bool_()},
    nullable={"predicted_tool"},
)  # fmt: skip
# The same for several students, policies and teachers together, by their names.
NAMED_SCORES = Table(
    SCORES.schema.insert(0, pa.field("student", pa.string(), nullable=False)),
    ("student", *SCORES.key),
)
RELEVANCE = _table(
    ("conversation",),
    {"conversation": pa.string(), "relevance": pa.int32(), "coherence": pa.int32(),
     "kept": pa.bool_(), "reason": pa.string()},
    nullable=set(),
)  # fmt: skip
# The decision on each turn of a trace; `votes` is canonical JSON, {member: call or null}.
DECISIONS = _table(
    ("conversation", "turn"),
    {**TURN, "name": pa.string(), "arguments": pa.string(), "reason": pa.string(),
     "votes": pa.string(), "kept": pa.bool_()},
    nullable={"name", "arguments"},
)  # fmt: skip

# Every conversation that was generated or failed to be, with what it was generated from:
# `exemplars` and `context` are canonical JSON lists of conversation ids, `mutations` is
# {list: topic}. `messages` are those of a rejected conversation, or null if the answer could not be
# parsed; the messages of kept conversations are in train.parquet.
DRAFTS = _table(
    ("conversation",),
    {"conversation": pa.string(), "exemplars": pa.string(), "context": pa.string(),
     "mutations": pa.string(), "kept": pa.bool_(), "reason": pa.string(),
     "messages": pa.list_(MESSAGE)},
    nullable={"messages"},
)  # fmt: skip


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, synced and renamed on success and removed on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield beside
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file completely or not at all."""
    with atomic_path(path) as beside:
        beside.write_text(text, encoding="utf-8")


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV with a header, which `dvc plots` draws."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file completely or not at all; keys keep their order."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_rows(path: Path, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows sorted by the table's key.

    Raises:
        InputError: a column is missing, unknown, of the wrong type, or null where it may not be; or
            two rows share a key.
    """
    rows = sorted(rows, key=lambda row: tuple(row[column] for column in table.key))
    keys = [tuple(row[column] for column in table.key) for row in rows]
    for before, after in itertools.pairwise(keys):
        if before == after:
            raise InputError(f"{path}: two rows with {dict(zip(table.key, after, strict=True))}")
    for row in rows:
        if row.keys() != set(table.schema.names):
            raise InputError(
                f"{path}: columns {sorted(row)} given, {sorted(table.schema.names)} declared"
            )
    try:
        content = pa.Table.from_pylist(list(rows), schema=table.schema)
        content.validate(full=True)
        for column in table.schema:
            if not column.nullable and content[column.name].null_count:
                raise InputError(f"{path}: column {column.name!r} may not be null")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(f"{path}: a value does not fit its column ({error})") from error
    with atomic_path(path) as beside:
        pq.write_table(content, beside, compression="zstd")


def read_rows(path: Path, table: Table) -> list[dict[str, Any]]:
    """Read a table written by `write_rows`.

    Raises:
        InputError: the file does not exist, is not Parquet, or has columns other than those
            declared.
    """
    return list(iterate_rows(path, table))


def iterate_rows(path: Path, table: Table, batch: int = 1 << 16) -> Iterator[dict[str, Any]]:
    """Yield the rows of `read_rows`, with `batch` rows in memory at a time."""
    try:
        with pq.ParquetFile(path) as file:
            if not file.schema_arrow.equals(table.schema):
                raise InputError(
                    f"{path}: holds\n{file.schema_arrow}\nbut declared is\n{table.schema}"
                )
            for rows in file.iter_batches(batch):
                yield from rows.to_pylist()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; `dvc repro` makes it") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({error})") from error


def write_conversations(path: Path, conversations: Iterable[Conversation]) -> None:
    """Write conversations, sorted by id."""
    write_rows(path, CONVERSATIONS, (row_of(conversation) for conversation in conversations))


def read_conversations(path: Path) -> list[Conversation]:
    """Read conversations, sorted by id."""
    return [conversation_of(row) for row in read_rows(path, CONVERSATIONS)]


def read_turns(path: Path, conversations: Sequence[Conversation]) -> list[Turn]:
    """Every assistant turn of the conversations, in order, with its prediction from `path`.

    Raises:
        InputError: a turn has no prediction, or a prediction has no turn; names the first one.
    """
    rows = {(row["conversation"], row["turn"]): row for row in read_rows(path, PREDICTIONS)}
    turns = []
    for conversation in conversations:
        for index, call in conversation.turns():
            row = rows.pop((conversation.id, index), None)
            if row is None:
                raise InputError(
                    f"{path}: no prediction for turn {index} of conversation {conversation.id!r}; "
                    "`dvc repro` makes it again"
                )
            turns.append(
                Turn(
                    conversation=conversation.id,
                    index=index,
                    prefix=conversation.messages[:index],
                    reference=call,
                    prediction=_prediction(row),
                    raw=row["raw"],
                )
            )
    if rows:
        identifier, index = min(rows)
        raise InputError(
            f"{path}: turn {index} of conversation {identifier!r} (and {len(rows) - 1} more) is no "
            "turn of the held-out conversations; `dvc repro` makes it again"
        )
    return turns


def _prediction(row: Mapping[str, Any]) -> ToolCall | ParseError:
    if row["name"] is None:
        return ParseError(row["error"])
    return ToolCall(row["name"], json.loads(row["arguments"]))


def message_rows(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Messages as values of a MESSAGE column."""
    return [
        {
            "role": message.role,
            "content": message.content,
            "name": message.tool_call and message.tool_call.name,
            "arguments": message.tool_call and message.tool_call.arguments_json,
        }
        for message in messages
    ]


def row_of(conversation: Conversation) -> dict[str, Any]:
    """A conversation as a row of CONVERSATIONS."""
    return {
        "id": conversation.id,
        "source": conversation.source,
        "messages": message_rows(conversation.messages),
        "provenance": canonical_json(conversation.provenance),
    }


def conversation_of(row: Mapping[str, Any]) -> Conversation:
    """The conversation in a row of CONVERSATIONS."""
    messages = []
    for message in row["messages"]:
        call = None
        if message["name"] is not None:
            call = ToolCall(message["name"], json.loads(message["arguments"]))
        messages.append(Message(message["role"], content=message["content"], tool_call=call))
    return Conversation(row["id"], row["source"], tuple(messages), json.loads(row["provenance"]))
