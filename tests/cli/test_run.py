"""The stages' numbers and the time left, on lines of DVC and on real DVC."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dvc.repo import Repo
from fixtures.repository import ROOT

from tft.cli.run import SECONDS as MEASURED
from tft.cli.run import announced

SECONDS = {"fetch": 60.0, "pretrain": 0.0, "train@a": 600.0, "train@b": 300.0, "report": 0.0}


def test_each_stage_is_announced_with_its_number_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([0.0, 0.0, 120.0, 720.0])  # twice as slow, then as fast as expected
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    lines = [
        "Running stage 'fetch':\n",
        "> python stages/fetch.py\n",
        "Stage 'pretrain' didn't change, skipping\n",
        "Running stage 'train@a':\n",
        "Running stage 'train@b':\n",
    ]
    shown = list(announced(lines, SECONDS))
    assert [line for line in shown if line in lines] == lines
    assert [line.strip() for line in shown if line not in lines] == [
        "[1/5] fetch: 0 s gone, about 16 min left",
        "[3/5] train@a: 2 min gone, about 30 min left",
        "[4/5] train@b: 12 min gone, about 5 min left",
    ]


def test_no_time_left_is_shown_when_no_stage_time_is_known() -> None:
    (head, _) = announced(["Running stage 'a':\n"], {"a": 0.0, "b": 0.0})
    assert head.strip() == "[1/2] a: 0 s gone"


def test_tft_run_runs_dvc_repro_and_returns_its_exit_status(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n"
        "  make:\n    cmd: echo made > made.txt\n    outs: [made.txt]\n"
        "  spoil:\n    cmd: cat made.txt && exit 3\n    deps: [made.txt]\n"
    )
    times = tmp_path / "reports/times"
    times.mkdir(parents=True)
    (times / "spoil.json").write_text(json.dumps({"seconds": 88}))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def call(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=tmp_path, env=os.environ | {"PATH": path}, check=False, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    assert call("dvc", "init", "--quiet", "--no-scm").returncode == 0
    done = call(sys.executable, "-m", "tft.cli", "run")
    assert done.returncode != 0
    # 88 s of its own, and its start.
    assert re.search(r"^\[1/2\] make: \d+ s gone, about 2 min left$", done.stdout, re.MULTILINE)
    assert "[2/2] spoil: " in done.stdout
    assert "failed to reproduce 'spoil'" in done.stdout
    call("sh", "-c", "sed -i 's/ && exit 3//' dvc.yaml")
    done = call(sys.executable, "-m", "tft.cli", "run")
    assert (done.returncode, "[1/2]" in done.stdout, "[2/2] spoil" in done.stdout) == (
        0,
        False,
        True,
    )


def test_shipped_stage_times_are_of_stages_that_exist() -> None:
    """A stage under another name would get no estimate."""
    with Repo(str(ROOT)) as repo:
        stages = {stage.addressing for stage in repo.index.stages}
    assert set(json.loads(MEASURED.read_text(encoding="utf-8"))) <= stages
