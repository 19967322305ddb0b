"""How long stages take is noted beside their outputs, by real processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures.repository import ROOT

from tft.core.stage import TIMES, read_times

BREW = """
import time
import click
from tft.core.stage import timed

@click.command()
@click.argument("kind")
@click.argument("cup")
@click.option("--fail", is_flag=True)
def main(kind, cup, fail):
    time.sleep(0.5)
    if fail:
        raise click.ClickException("cold")

timed(main)
"""


def brew(*arguments: str) -> int:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "stages/brew.py", *arguments],
        env=environment, capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("stages").mkdir()
    Path("stages/brew.py").write_text(BREW)


def test_a_stage_is_noted_under_dvc_s_name_for_it() -> None:
    assert brew("green", "big") == 0
    noted = read_times(["green-big"])
    assert list(noted) == ["brew@green-big"]
    assert noted["brew@green-big"]["seconds"] >= 0.5  # the whole process, never less than it slept
    assert len(noted["brew@green-big"]["measured"]) == len("2026-11-25T16:00")
    assert read_times(["black-big"]) == {}


def test_only_a_run_that_ended_well_is_noted() -> None:
    noted = TIMES / "brew@green-big.json"
    assert brew("green", "big", "--fail") == 1
    assert brew("--help") == 0
    assert brew("green") == 2
    assert not TIMES.exists()
    assert brew("green", "big") == 0
    first = json.loads(noted.read_text())
    assert brew("green", "big", "--fail") == 1
    assert json.loads(noted.read_text()) == first


@pytest.mark.parametrize("stage", sorted(ROOT.glob("stages/*.py")), ids=lambda path: path.stem)
def test_every_stage_notes_its_time(stage: Path) -> None:
    text = stage.read_text(encoding="utf-8")
    assert text.endswith("    timed(main)\n") or "note(times)" in text
