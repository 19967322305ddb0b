"""`tft result`: what is kept of a run, and when nothing is."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from fixtures.repository import ROOT
from fixtures.run import CURATION
from fixtures.tea import CELLS, SCENARIOS, run_to_table

from tft.cli import result
from tft.core.tables import write_json
from tft.report.table import summary_table


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


def test_a_result_has_scores_table_params_and_provenance(finished):
    # Left over from a run with other pipelines.
    shutil.copy("data/scores/cells/low_data-direct.json", "data/scores/cells/low_data-tft.json")
    kept = result.keep_result("sgd-tiny", finished)
    assert kept == finished / "results" / "sgd-tiny"
    assert {path.name for path in kept.iterdir()} == {
        "cells", "direct.json", "comparison.json", "benchmark.md", "params.yaml",
        "provenance.json", "robustness.json", "times.json", *CURATION,
    }  # fmt: skip
    assert {path.stem for path in (kept / "cells").iterdir()} == set(CELLS)
    for step, counts in CURATION.items():
        assert {path.stem for path in (kept / step).iterdir()} == set(SCENARIOS)
        told = json.loads((kept / step / "low_data.json").read_text())
        assert (told["curation"] if step == "audit" else told) == counts
    assert json.loads((kept / "direct.json").read_text()) == dict.fromkeys(SCENARIOS, 0.5)
    times = json.loads((kept / "times.json").read_text())
    assert times == {f"filter@{scenario}": {"seconds": 1.5} for scenario in sorted(SCENARIOS)}
    stamp = json.loads((kept / "provenance.json").read_text())
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert stamp["commit"] == head.stdout.strip()
    assert (stamp["dirty"], stamp["uncommitted"]) == (False, [])
    assert stamp["packages"]["torch"]

    # Kept again under the same name: replaced whole, nothing left beside.
    (kept / "stray").touch()
    Path("pyproject.toml").touch()
    result.keep_result("sgd-tiny", finished)
    assert not (kept / "stray").exists()
    assert [path.name for path in kept.parent.iterdir()] == ["sgd-tiny"]
    stamp = json.loads((kept / "provenance.json").read_text())
    assert (stamp["dirty"], stamp["uncommitted"]) == (True, ["pyproject.toml"])


def test_a_result_has_only_the_sweep_of_its_corpus_and_student(finished):
    run = {"corpus": "builtin", "student": "tiny"}
    swept = {"low_data": run, "noisy_labels": run | {"corpus": "sgd"}}
    write_json(Path("experiments/sweep/sweep.json"), swept)
    kept = result.keep_result("mine", finished)
    assert json.loads((kept / "sweep.json").read_text()) == {"low_data": run}


def test_no_result_is_kept_of_stale_or_missing_files(finished):
    runner = CliRunner()
    for name in ("../up", "", ".", "Caps"):
        done = runner.invoke(result.keep, ["--", name])
        assert (done.exit_code, "result name" in done.output) == (1, True)

    params = Path("params.yaml").read_text()
    Path("params.yaml").write_text(params.replace("student: tiny", "student: qwen3-1.7b"))
    done = runner.invoke(result.keep, ["sgd-tiny"])
    assert (done.exit_code, "out of date: report" in done.output) == (1, True)

    Path("params.yaml").write_text(params)
    Path("data/scores/comparison.json").unlink()
    done = runner.invoke(result.keep, ["sgd-tiny"])
    assert "data/scores/comparison.json: no such file; `make run` first" in done.output
    assert not Path("results").exists()


def test_without_git_there_is_no_result(tea_shop):
    run_to_table()
    with pytest.raises(result.InputError):
        result.keep_result("sgd-tiny", tea_shop)
    assert not Path("results").exists()


def test_the_readme_shows_the_tables_of_the_results_that_it_names():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    names = re.findall("<!-- table: results/(.+)/benchmark.md -->", readme)
    assert names
    for name in names:
        kept = ROOT / "results" / name
        cells = {
            path.stem: json.loads(path.read_text(encoding="utf-8"))
            for path in (kept / "cells").iterdir()
        }
        comparison = json.loads((kept / "comparison.json").read_text(encoding="utf-8"))
        shown = result.with_table(readme, name, summary_table(comparison, cells, SCENARIOS))
        assert shown == readme, f"`make result NAME={name}` mends it"


def test_keeping_a_result_renews_its_table_in_the_readme(finished):
    readme = "# Teas\n<!-- table: results/sgd-tiny/benchmark.md -->\nold\n<!-- /table -->\nEnd.\n"
    Path("README.md").write_text(readme)
    for name in ("other", "sgd-tiny"):
        assert Path("README.md").read_text() == readme
        done = CliRunner().invoke(result.keep, [name])
        assert (done.exit_code, done.output) == (0, f"kept as results/{name}; commit it with git\n")
    table = Path("results/sgd-tiny/benchmark.md").read_text()
    shown = table.split("\n", 1)[1].split("## Every cell")[0].strip()
    assert shown and "| scenario" not in shown
    assert Path("README.md").read_text() == readme.replace("old", shown)

    with pytest.raises(result.InputError, match="no line <!-- /table --> ends it"):
        result.with_table(readme.replace("/table", "table"), "sgd-tiny", table)
