"""The stages' numbers and the time left, on lines of DVC and on real DVC."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tft import running

SECONDS = {"fetch": 60.0, "pretrain": 0.0, "train@a": 600.0, "train@b": 300.0, "report": 0.0}


def test_stages_are_numbered_and_the_pace_so_far_tells_the_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([0.0, 0.0, 120.0, 720.0])  # twice as slow, then as fast as expected
    monkeypatch.setattr(running.time, "monotonic", lambda: next(clock))
    lines = [
        "Running stage 'fetch':\n",
        "> python stages/fetch.py\n",
        "Stage 'pretrain' didn't change, skipping\n",
        "Running stage 'train@a':\n",
        "Running stage 'train@b':\n",
    ]
    shown = list(running.announced(lines, SECONDS))
    assert [line for line in shown if line in lines] == lines
    assert [line.strip() for line in shown if line not in lines] == [
        "[1/5] fetch: 0 s gone, about 16 min left",
        "[3/5] train@a: 2 min gone, about 30 min left",
        "[4/5] train@b: 12 min gone, about 5 min left",
    ]


def test_without_known_times_there_is_no_promise() -> None:
    (head, _) = running.announced(["Running stage 'a':\n"], {"a": 0.0, "b": 0.0})
    assert head.strip() == "[1/2] a: 0 s gone"


def test_it_runs_real_dvc_and_passes_its_status_on(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n"
        "  make:\n    cmd: echo made > made.txt\n    outs: [made.txt]\n"
        "  spoil:\n    cmd: cat made.txt && exit 3\n    deps: [made.txt]\n"
    )
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/times.json").write_text(json.dumps({"spoil": {"seconds": 88}}))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def call(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=tmp_path, env=os.environ | {"PATH": path}, check=False, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    assert call("dvc", "init", "--quiet", "--no-scm").returncode == 0
    done = call(sys.executable, "-m", "tft", "run")
    assert done.returncode != 0
    # 88 s of its own, and its start.
    assert re.search(r"^\[1/2\] make: \d+ s gone, about 2 min left$", done.stdout, re.MULTILINE)
    assert "[2/2] spoil: " in done.stdout
    assert "failed to reproduce 'spoil'" in done.stdout
    call("sh", "-c", "sed -i 's/ && exit 3//' dvc.yaml")
    done = call(sys.executable, "-m", "tft", "run")
    assert (done.returncode, "[1/2]" in done.stdout, "[2/2] spoil" in done.stdout) == (
        0,
        False,
        True,
    )
