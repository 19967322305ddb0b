"""`tft result`: what is kept of a run, and when nothing is."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fixtures.repository import ROOT
from fixtures.run import CURATION
from fixtures.tea import CELLS, SCENARIOS, run_to_table

from tft.cli import result
from tft.core.tables import NAMED_SCORES, read_rows, write_json


@pytest.fixture
def finished(tea_shop):
    """The project after a run, in git and known to DVC."""
    run_to_table()
    for item in (*SCENARIOS, "of_another_run"):
        write_json(Path(f"reports/times/filter@{item}.json"), {"seconds": 1.5})
    shutil.copy("data/audit/low_data.json", "data/audit/of_another_run.json")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "core.hooksPath="]
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], check=True)
    # One stage that is up to date, and goes out of date when params change.
    stage = "stages:\n  report:\n    cmd: 'true'\n    params: [student]\n"
    Path("dvc.yaml").write_text(stage)
    subprocess.run([sys.executable, "-m", "dvc", "commit", "--force", "--quiet"], check=True)
    subprocess.run(["git", "add", "params.yaml", "dvc.yaml"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "run"], check=True)
    return tea_shop


def test_a_result_holds_metrics_turns_table_params_and_where_they_came_from(finished):
    # Left over from a run with other pipelines.
    shutil.copy("data/scores/cells/low_data-direct.json", "data/scores/cells/low_data-tft.json")
    kept = result.keep_result("sgd-tiny")
    assert kept == Path("results/sgd-tiny")
    assert {path.name for path in kept.iterdir()} == {
        "benchmark.md", "metrics.json", "params.yaml", "provenance.json", "turns.parquet",
    }  # fmt: skip
    metrics = json.loads((kept / "metrics.json").read_text())
    assert set(metrics["cells"]) == set(CELLS)
    for name, cell in metrics["cells"].items():
        assert cell == json.loads(Path(f"data/scores/cells/{name}.json").read_text())
    assert metrics["curation"] == {
        step: dict.fromkeys(SCENARIOS, counts) for step, counts in CURATION.items()
    }
    assert metrics["times"] == {
        f"filter@{scenario}": {"seconds": 1.5} for scenario in sorted(SCENARIOS)
    }
    turns = read_rows(kept / "turns.parquet", NAMED_SCORES)
    students = {path.stem for path in Path("data/scores/turns").iterdir()}
    assert {row["student"] for row in turns} == students
    judged = [row["judge"] for row in turns if row["student"] == "always_respond"]
    assert sum(judged) / len(judged) == metrics["cells"]["always_respond"]["judge"]
    stamp = json.loads((kept / "provenance.json").read_text())
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert stamp["commit"] == head.stdout.strip()
    assert (stamp["dirty"], stamp["uncommitted"]) == (False, [])
    assert stamp["packages"]["torch"]

    # Kept again under the same name: replaced whole, nothing left beside.
    (kept / "stray").touch()
    Path("pyproject.toml").touch()
    result.keep_result("sgd-tiny")
    assert not (kept / "stray").exists()
    assert [path.name for path in kept.parent.iterdir()] == ["sgd-tiny"]
    stamp = json.loads((kept / "provenance.json").read_text())
    assert (stamp["dirty"], stamp["uncommitted"]) == (True, ["pyproject.toml"])


def test_a_result_holds_the_sweep_of_its_corpus_and_student_alone(finished):
    run = {"corpus": "builtin", "student": "tiny"}
    swept = {"low_data": run, "noisy_labels": run | {"corpus": "sgd"}}
    write_json(Path("experiments/sweep/sweep.json"), swept)
    kept = result.keep_result("mine")
    assert json.loads((kept / "metrics.json").read_text())["sweep"] == {"low_data": run}


def test_a_result_is_refused_when_it_would_lie(finished):
    runner = CliRunner()
    for name in ("../up", "", ".", "Caps"):
        done = runner.invoke(result.result_command, ["--", name])
        assert (done.exit_code, "result name" in done.output) == (1, True)

    params = Path("params.yaml").read_text()
    Path("params.yaml").write_text(params.replace("student: tiny", "student: qwen3-1.7b"))
    done = runner.invoke(result.result_command, ["sgd-tiny"])
    assert (done.exit_code, "out of date: report" in done.output) == (1, True)

    Path("params.yaml").write_text(params)
    Path("data/scores/comparison.json").unlink()
    done = runner.invoke(result.result_command, ["sgd-tiny"])
    assert "data/scores/comparison.json: no such file; `dvc repro score` makes it" in done.output
    assert not Path("results").exists()


def test_without_git_there_is_no_result(tea_shop):
    run_to_table()
    with pytest.raises(result.InputError):
        result.keep_result("sgd-tiny")
    assert not Path("results").exists()


def test_the_readme_shows_the_tables_of_the_results_that_it_names():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    names = re.findall("<!-- table: results/(.+)/benchmark.md -->", readme)
    assert names
    for name in names:
        shown = result.with_table(readme, name, ROOT / "results" / name)
        assert shown == readme, f"`make result NAME={name}` mends it"


def kept_with(comparison: dict[str, Any], folder: Path) -> Path:
    cells = {f"baseline-{name}": {"service_call_exact": 0.5} for name in ("tft", "direct")}
    scenarios = list(comparison)
    metrics = {"cells": cells, "comparison": comparison, "scenarios": scenarios}
    write_json(folder / "metrics.json", metrics)
    return folder


README = "# Teas\n<!-- table: results/teas/benchmark.md -->\nold\n<!-- /table -->\nEnd.\n"


def test_the_readmes_table_is_that_of_the_result_it_names(tmp_path):
    judged = {"tft": 0.75, "direct": 0.5, "interval": [0.125, 0.375]}
    exact = {"interval": [-0.25, 0.25]}
    kept = kept_with({"baseline": judged | {"service_call_exact": exact}}, tmp_path)
    assert result.with_table(README, "other", kept) == README
    shown = result.with_table(README, "teas", kept).splitlines()
    assert (shown[0], shown[-2:]) == ("# Teas", ["<!-- /table -->", "End."])
    assert [cell.strip() for cell in shown[-3].split("|")[1:-1]] == [
        "S1 `baseline`", "0.750", "0.500", "+0.250 [+0.125, +0.375]",
        "0.866", "0.864", "+0.002", "0.500", "0.500", "+0.000 [-0.250, +0.250]",
    ]  # fmt: skip


def test_a_readme_whose_table_cannot_be_set_is_refused(tmp_path):
    kept = kept_with({}, tmp_path)
    with pytest.raises(result.InputError, match="no line <!-- /table --> ends it"):
        result.with_table(README.replace("/table", "table"), "teas", kept)
    with pytest.raises(result.InputError, match="does not compare TFT and Direct"):
        result.with_table(README, "teas", kept)
