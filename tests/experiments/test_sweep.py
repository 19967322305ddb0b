"""Dose and response: experiments by real DVC, gathered and drawn."""

import json
import os
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from fixtures.repository import ROOT, run_experiment
from ruamel.yaml import YAML

from experiments.sweep.config import SweepConfig
from experiments.sweep.doses import collect, experiments, made, queue, queued
from tft.config import load_params
from tft.core.config import read_config
from tft.core.errors import InputError
from tft.report.charts import sweep_rows
from tft.report.table import sweep_of

RATE = "scenarios.noisy_labels.corruption_rate"
SWEPT = {"noisy_labels": {RATE: [0.0, 0.5]}}
# In place of traces, training and judgement: scores that fall with the dose.
SCORE = """
import json, pathlib
from ruamel.yaml import YAML
params = YAML(typ="safe").load(open("params.yaml"))
(scenario,) = params["run"]
rate = params["scenarios"][scenario]["corruption_rate"]
assert rate < 1, "no student learns from this"
pathlib.Path("data/scores/cells").mkdir(parents=True)
for pipeline, loss in (("direct", 0.5), ("tft", 0.25)):
    judge = 1 - loss * rate
    metrics = {"judged_by": "a judge", "n": 7, "judge": judge, "service_call_exact": judge / 2,
               "intervals": {"judge": [judge - 0.1, 1.0]}}
    pathlib.Path(f"data/scores/cells/{scenario}-{pipeline}.json").write_text(json.dumps(metrics))
"""
STAGES = """
stages:
  score:
    cmd: python score.py
    deps: [score.py]
    params: [run, scenarios]
    outs: [data/scores]
"""


def run(root: Path, *command: str, check: bool = True) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=root, env=os.environ | {"PATH": path}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert not (check and done.returncode), done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with this one's params and a single quick stage, committed."""
    content = YAML(typ="safe").load(ROOT / "params.yaml")
    YAML().dump(content, tmp_path / "params.yaml")
    (tmp_path / "experiments/sweep").mkdir(parents=True)
    YAML().dump({"scenarios": SWEPT}, tmp_path / "experiments/sweep/params.yaml")
    (tmp_path / "score.py").write_text(SCORE)
    (tmp_path / "dvc.yaml").write_text(STAGES)
    run(tmp_path, "git", "init", "--quiet")
    run(tmp_path, "git", "config", "user.name", "test")
    run(tmp_path, "git", "config", "user.email", "test@example.org")
    run(tmp_path, "dvc", "init", "--quiet")
    run(tmp_path, "git", "add", "--all")
    run(tmp_path, "git", "commit", "--quiet", "--message", "state")
    return tmp_path


def test_a_sweep_queues_runs_gathers_and_draws_its_experiments(project: Path) -> None:
    names = {"sweep-noisy_labels-0.0", "sweep-noisy_labels-0.5"}
    queue(project, SWEPT)
    assert queued(project) == names
    with pytest.raises(InputError, match=r"no experiment sweep-noisy_labels-0\.0, sweep-"):
        collect(project, SWEPT, ["direct", "tft"])
    run(project, "dvc", "exp", "run", "--run-all", "--jobs", "1")
    assert made(project).keys() == names

    with chdir(project):
        done = run_experiment("sweep")
        assert done.exit_code == 0, done.output
        assert "noisy_labels 0.5 direct: judge 0.750" in done.output
        found = json.loads(Path("experiments/sweep/sweep.json").read_text())["noisy_labels"]
    assert (found["dose"], found["judged_by"]) == (RATE, "a judge")
    assert (found["corpus"], found["student"]) == ("builtin", "tiny")
    assert sweep_of({"noisy_labels": found}, "builtin", "tiny")
    assert not sweep_of({"noisy_labels": found}, "sgd", "tiny")
    assert not sweep_of({"noisy_labels": found}, "builtin", "qwen3-1.7b")
    drawn = sweep_rows(found["rows"], "judge")
    assert [(one["dose"], one["pipeline"], one["score"]) for one in drawn] == [
        (0.0, "direct", 1.0), (0.0, "tft", 1.0), (0.5, "direct", 0.75), (0.5, "tft", 0.875),
    ]  # fmt: skip
    assert (drawn[2]["low"], drawn[2]["high"]) == (0.65, 1.0)
    exact = sweep_rows(found["rows"], "service_call_exact")
    assert (exact[2]["score"], exact[2]["low"]) == (0.375, None)

    # The workspace is as it was, and a second sweep takes the place of the first.
    assert load_params(project / "params.yaml").defined["noisy_labels"].corruption_rate == 0.5
    assert not (project / "data/scores").exists()
    queue(project, SWEPT)
    assert queued(project) == names
    assert made(project) == {}


def test_an_error_names_the_experiment_that_failed(project: Path) -> None:
    doses = {"noisy_labels": {RATE: [0.5, 1.0]}}
    queue(project, doses)
    run(project, "dvc", "exp", "run", "--run-all", check=False)
    with pytest.raises(InputError, match=r"no experiment sweep-noisy_labels-1\.0 on this commit"):
        collect(project, doses, ["direct", "tft"])
    found = collect(project, {"noisy_labels": {RATE: [0.5]}}, ["tft"])
    assert [one["judge"] for one in found["noisy_labels"]["rows"]] == [0.875]
    with pytest.raises(InputError, match=r"data/scores/cells/noisy_labels-filtered\.json"):
        collect(project, {"noisy_labels": {RATE: [0.5]}}, ["filtered"])


def test_an_unknown_param_queues_nothing(project: Path) -> None:
    for key in ("scenarios.noisy_labels.corruption", "scenarios.noise.corruption_rate", "seed.a"):
        with pytest.raises(InputError, match=f"noisy_labels: params.yaml has no '{key}'"):
            queue(project, {"noisy_labels": {key: [0.0, 0.5]}})
    assert queued(project) == set()


def test_params_of_one_scenario_change_together() -> None:
    swept = {
        "low_data": {
            "scenarios.low_data.traces": [5, 80],
            "synthesize.seed_conversations.low_data": [5, 40],
        }
    }
    assert experiments(swept) == {
        "sweep-low_data-5": {
            "run": "[low_data]", "scenarios.low_data.traces": 5,
            "synthesize.seed_conversations.low_data": 5,
        },
        "sweep-low_data-80": {
            "run": "[low_data]", "scenarios.low_data.traces": 80,
            "synthesize.seed_conversations.low_data": 40,
        },
    }  # fmt: skip


def test_the_shipped_sweep_contains_the_benchmark_s_own_doses(shipped: dict[str, Any]) -> None:
    swept = read_config(ROOT / "experiments/sweep/params.yaml", SweepConfig).scenarios
    for scenario, settings in swept.items():
        assert scenario in shipped["scenarios"]
        own = []
        for key in settings:
            place = shipped
            for part in key.split("."):
                place = place[part]
            own.append(place)
        assert tuple(own) in set(zip(*settings.values(), strict=True)), scenario


@pytest.mark.parametrize(
    ("scenario", "settings", "message"),
    [
        ("low_data", {"x": [1, 2], "y": [1]}, "scenarios.low_data.y: "),
        ("low_data", {"x": [1, 2], "y": [1, 2, 3]}, "low_data: .*different lengths"),
        ("low_data", {}, "scenarios.low_data: "),
    ],
)
def test_an_error_about_a_sweep_names_its_key(
    tmp_path: Path, scenario: str, settings: Any, message: str
) -> None:
    YAML().dump({"scenarios": {scenario: settings}}, tmp_path / "params.yaml")
    with pytest.raises(InputError, match=message):
        read_config(tmp_path / "params.yaml", SweepConfig)


def test_an_unknown_scenario_queues_nothing(project: Path) -> None:
    with pytest.raises(InputError, match=r"'noise' is none of params\.yaml's scenarios: baseline"):
        queue(project, {"noise": {"data_seed": [1, 2]}})
    assert queued(project) == set()
