"""What `@stage` adds to a stage script, seen in real processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures.repository import ROOT

from tft.core.stage import TIMES, read_times

BREW = '''
"""Brew a pot."""

import time
from tft.core.errors import InputError
from tft.core.stage import stage

@stage(lambda: {"minutes": 3})
def main(params, kind: str, cups: int) -> None:
    time.sleep(0.5)
    if cups > 9:
        raise InputError(f"{cups} cups are too many")
    print(f"{kind}, {cups + 1} cups, {params['minutes']} minutes")

if __name__ == "__main__":
    main()
'''


def brew(*arguments: str, dvc: bool = True) -> subprocess.CompletedProcess[str]:
    """Run stages/brew.py as DVC does (which names the stage) or as a person does."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    environment.pop("DVC_STAGE", None)
    if dvc:
        environment["DVC_STAGE"] = f"brew@{'-'.join(arguments)}"
    return subprocess.run(
        [sys.executable, "stages/brew.py", *arguments],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("stages").mkdir()
    Path("stages/brew.py").write_text(BREW)


def test_arguments_are_converted_and_params_come_first() -> None:
    assert brew("green", "2").stdout == "green, 3 cups, 3 minutes\n"
    assert brew("green", "two").returncode == 2
    assert "Brew a pot." in brew("--help").stdout


def test_bad_input_ends_with_one_line() -> None:
    done = brew("green", "10")
    assert (done.returncode, done.stderr) == (1, "Error: 10 cups are too many\n")


def test_a_stage_notes_its_time_under_the_name_dvc_gives_it() -> None:
    assert brew("green", "2").returncode == 0
    noted = read_times(["green-2"])
    assert list(noted) == ["brew@green-2"]
    assert noted["brew@green-2"]["seconds"] >= 0.5  # the whole process, never less than it slept
    assert len(noted["brew@green-2"]["measured"]) == len("2026-11-25T16:00")
    assert read_times(["black-2"]) == {}


def test_a_stage_that_a_person_runs_notes_no_time() -> None:
    assert brew("green", "2", dvc=False).returncode == 0
    assert not TIMES.exists()


def test_a_run_that_fails_notes_no_time() -> None:
    assert brew("green", "10").returncode == 1
    assert brew("--help").returncode == 0
    assert brew("green").returncode == 2
    assert not TIMES.exists()
    noted = TIMES / "brew@green-2.json"
    assert brew("green", "2").returncode == 0
    first = json.loads(noted.read_text())
    assert brew("green", "two").returncode == 2
    assert json.loads(noted.read_text()) == first


@pytest.mark.parametrize("path", sorted(ROOT.glob("stages/*.py")), ids=lambda path: path.stem)
def test_every_stage_script_is_a_stage(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "@stage(load_params)\ndef main(params: Params" in text
    assert text.endswith('if __name__ == "__main__":\n    main()\n')
