import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixtures.strategies import conversations
from hypothesis import given
from hypothesis import strategies as st

from tft.core.conversation import Conversation, assistant, canonical_json, user
from tft.core.errors import InputError
from tft.core.tables import (
    CONVERSATIONS,
    Table,
    atomic_path,
    read_conversations,
    read_rows,
    write_conversations,
    write_rows,
)

unique_conversations = st.lists(conversations(), max_size=4, unique_by=lambda item: item.id)
TABLE = Table(
    pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("turn", pa.int32(), nullable=False),
            pa.field("good", pa.bool_(), nullable=False),
            pa.field("note", pa.string()),
        ]
    ),
    key=("id", "turn"),
)
ROW = {"id": "c", "turn": 1, "good": True, "note": None}


@given(unique_conversations)
def test_any_conversations_survive_parquet(items: list[Conversation]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "c.parquet"
        write_conversations(path, items)
        back = read_conversations(path)
    expected = sorted(items, key=lambda item: item.id)
    assert back == expected
    # `==` takes 1, 1.0 and True for the same; their JSON does not.
    for before, after in zip(expected, back, strict=True):
        assert canonical_json(after.provenance) == canonical_json(before.provenance)
        assert [call.arguments_json for _, call in after.turns()] == [
            call.arguments_json for _, call in before.turns()
        ]


@given(unique_conversations, st.randoms(use_true_random=False))
def test_equal_content_gives_equal_bytes(items: list[Conversation], random: Random) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)
    with TemporaryDirectory() as folder:
        first, second = Path(folder) / "a.parquet", Path(folder) / "b.parquet"
        write_conversations(first, items)
        write_conversations(second, shuffled)
        assert first.read_bytes() == second.read_bytes()


def test_the_order_of_arguments_does_not_reach_the_bytes(tmp_path: Path) -> None:
    for name, arguments in (("a", {"x": 1, "y": 2}), ("b", {"y": 2, "x": 1})):
        trace = Conversation("1", "s", (user("hi"), assistant("f", arguments)))
        write_conversations(tmp_path / name, [trace])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_killed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    write_conversations(path, [Conversation("1", "s", (user("old"),))])
    before = path.read_bytes()
    script = (
        "import os, signal, sys, pathlib\n"
        "from tft.core.tables import atomic_path\n"
        "with atomic_path(pathlib.Path(sys.argv[1])) as beside:\n"
        "    beside.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    # The next write is not hindered by what the killed one left.
    write_conversations(path, [Conversation("1", "s", (user("new"),))])
    assert read_conversations(path)[0].messages == (user("new"),)


def test_a_failed_write_leaves_the_old_file_and_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as beside:
        beside.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["t.txt"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROW, ROW], "two rows"),
        ([{**ROW, "extra": 1}], "declared"),
        ([{key: ROW[key] for key in ("id", "turn", "good")}], "declared"),
        ([{**ROW, "good": None}], "'good' may not be null"),
        ([{**ROW, "note": 3}], "does not fit"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    tmp_path: Path, rows: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        write_rows(tmp_path / "v.parquet", TABLE, rows)
    assert not list(tmp_path.iterdir())


def test_reading_another_table_is_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "v.parquet", TABLE, [ROW])
    with pytest.raises(InputError, match="declared"):
        read_rows(tmp_path / "v.parquet", CONVERSATIONS)
    pq.write_table(pa.table({"id": [1]}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match="declared"):
        read_conversations(tmp_path / "x.parquet")


def test_a_missing_or_broken_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_conversations(tmp_path / "none.parquet")
    (tmp_path / "half.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(InputError, match="not a readable Parquet"):
        read_conversations(tmp_path / "half.parquet")
