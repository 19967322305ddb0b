"""The whole pipeline at a reduced size, by the commands a user types: real DVC, dialogues, vLLM."""

import json
import re
import shutil
from pathlib import Path

import pytest
from fixtures.project import SCENARIOS, FirstRun, Project
from fixtures.repository import ROOT
from ruamel.yaml import YAML

from tft.cli.serve import server_command
from tft.config import load_params
from tft.core.tables import read_conversations
from tft.core.task import read_task
from tft.report.table import BASELINES

PARAMS = load_params(ROOT / "params.yaml")
CELLS = [f"{scenario}-{pipeline}" for scenario in SCENARIOS for pipeline in PARAMS.pipelines]
STUDENTS = [f"{cell}-{seed}" for cell in CELLS for seed in PARAMS.training_seeds]

pytestmark = pytest.mark.vllm
needs_sgd = pytest.mark.usefixtures("sgd_archive")


@pytest.fixture(scope="module")
def project(first_run: FirstRun) -> Project:
    """The finished run; its tests go from state to state, in their order."""
    return first_run.project


def test_the_first_run_runs_every_stage(first_run: FirstRun) -> None:
    single = {"fetch", "split", "label_test", "teacher", "predict", "judge", "score", "report"}
    assert first_run.stages == single | {
        f"{stage}@{scenario}"
        for stage in ("corrupt", "filter", "relabel", "synthesize", "audit")
        for scenario in SCENARIOS
    } | {f"finetune@{student}" for student in STUDENTS} | {f"export@{cell}" for cell in CELLS}


def test_a_run_changes_no_file_known_to_git_but_dvc_lock(first_run: FirstRun) -> None:
    assert first_run.changed == ["dvc.lock"]


def test_a_run_leaves_the_table_and_what_it_was_made_from(project: Project) -> None:
    table = (project.root / "reports/benchmark.md").read_text(encoding="utf-8")
    headline = json.loads((project.root / "metrics/headline.json").read_text(encoding="utf-8"))

    assert set(headline) == set(SCENARIOS)
    for scenario, judge in headline.items():
        assert scenario in table
        assert 0 <= judge <= 1
    for cell in [*BASELINES, *CELLS]:
        metrics = json.loads((project.root / f"data/scores/cells/{cell}.json").read_text())
        assert metrics["n"] > 0
    page = (project.root / "reports/index.html").read_text(encoding="utf-8")
    assert all(f'"cell":"{cell}"' in page for cell in CELLS)
    comparison = json.loads((project.root / "data/scores/comparison.json").read_text())
    assert set(comparison) == set(SCENARIOS)
    for cell in CELLS:
        for name in ("adapter", "merged", "job_description.json", "README.md"):
            assert (project.root / "models/students" / cell / name).exists()


def test_every_file_that_the_page_names_exists(project: Project) -> None:
    page = (project.root / "reports/index.html").read_text(encoding="utf-8")
    named = re.findall(r"<code>((?:data|reports|experiments|metrics)/[^<]*)</code>", page)
    assert len(set(named)) > 12
    values = {"STAGE": "fetch", "S-P-N": STUDENTS[0], "S": SCENARIOS[0], "P": PARAMS.pipelines[0]}
    for path in set(named):
        file = re.sub(r"(?<=/)(STAGE|S-P-N|S|P)(?=[./]|$)", lambda found: values[found[1]], path)
        assert (project.root / file).exists(), path


def test_a_second_run_does_nothing(project: Project) -> None:
    assert "Data and pipelines are up to date." in project.run("dvc", "repro")
    assert project.run("git", "status", "--porcelain") == ""


def test_make_compare_compares_the_pipelines(project: Project) -> None:
    """Its own recipe, in this environment instead of the one that `setup` makes."""
    ran = project.stages_run_by("make", "--old-file=setup", "compare")
    assert ran == {"report"}
    assert project.run("git", "status", "--porcelain") == ""
    diff = json.loads(project.run("dvc", "metrics", "diff", "--all", "--json", "direct", "tft"))
    direct, tft = (
        {
            scenario: json.loads(
                (project.root / f"data/scores/cells/{scenario}-{name}.json").read_text()
            )["judge"]
            for scenario in SCENARIOS
        }
        for name in ("direct", "tft")
    )
    rows = diff["metrics/headline.json"]
    assert {name: (row["old"], row["new"]) for name, row in rows.items()} == {
        name: (direct[name], tft[name]) for name in SCENARIOS
    }
    assert {name: row["diff"] for name, row in rows.items()} == pytest.approx(
        {name: tft[name] - direct[name] for name in SCENARIOS}
    )


@pytest.fixture(scope="module")
def experiment(project: Project) -> tuple[set[str], int]:
    """The stages that an experiment with another param runs, and how many students it asks."""
    before = project.decoded()
    ran = project.stages_run_by(
        "dvc", "exp", "run", "--name", "cleaner",
        "--set-param", "scenarios.schema_drift.clean_fraction=0.9",
    )  # fmt: skip
    return ran, len(project.decoded() - before)


def test_a_param_of_a_scenario_reruns_only_its_cells_and_the_report(
    experiment: tuple[set[str], int],
) -> None:
    ran, asked = experiment
    stages = ("corrupt", "filter", "relabel", "synthesize", "audit")
    own = {f"{stage}@schema_drift" for stage in stages} | {"predict", "report"}
    own |= {f"export@schema_drift-{pipeline}" for pipeline in PARAMS.pipelines}
    own |= {f"finetune@{name}" for name in STUDENTS if name.startswith("schema_drift-")}
    # Where all answers come out equal, verdicts and scores are up to date as they are.
    assert own <= ran <= own | {"judge", "score"}
    assert asked == len(PARAMS.pipelines)


@pytest.mark.usefixtures("experiment")
def test_an_experiment_is_compared_with_the_committed_run(project: Project) -> None:
    diff = json.loads(project.run("dvc", "metrics", "diff", "--all", "--json", "HEAD", "cleaner"))
    scores = diff["metrics/headline.json"]
    assert set(scores) == set(SCENARIOS)
    assert all({"old", "new"} <= score.keys() for score in scores.values())

    project.run("dvc", "plots", "diff", "HEAD", "cleaner", "--out", "plots")
    page = (project.root / "plots/index.html").read_text(encoding="utf-8")
    drawn = [f"{kind}/{name}.csv" for kind in ("loss", "confusion", "curves") for name in STUDENTS]
    assert all(f"reports/{name}" in page for name in drawn)
    assert '"rev": "cleaner"' in page


@needs_sgd
def test_real_dialogues_replace_simulated_ones(project: Project) -> None:
    project.commit()
    project.edit_params(corpus="sgd")
    ran = project.stages_run_by("dvc", "repro", "synthesize@trace_mixing")
    assert ran == {
        *("fetch", "split", "label_test"),
        *(f"{stage}@trace_mixing" for stage in ("corrupt", "filter", "relabel", "synthesize")),
    }
    traces = read_conversations(project.root / "data/direct/trace_mixing/train.parquet")
    assert {one.source for one in traces} == {"Hotels_1", "Restaurants_1"}
    project.run("git", "restore", ".")
    project.run("dvc", "checkout")


@needs_sgd
def test_a_new_base_is_made_on_demand_and_makes_every_student_out_of_date(project: Project) -> None:
    """The recipe of `make pretrain`, in this environment instead of the one that `setup` makes."""
    small = {"start": None, "steps": 20, "copy_steps": 5, "row_tokens": 512}
    project.edit_params("experiments/pretrain/params.yaml", **small)
    assert not project.stages_run_by("dvc", "repro")  # no part of the pipeline

    assert project.stages_run_by("make", "--old-file=setup", "pretrain") == {
        "experiments/pretrain/dvc.yaml:pretrain"
    }
    planned = project.stages_run_by("dvc", "repro", "--dry")
    assert {f"finetune@{student}" for student in STUDENTS} <= planned
    assert not planned & {"fetch", "split", "pretrain"}
    project.run("git", "restore", "experiments", "models")
    project.run("git", "clean", "--quiet", "--force", "experiments")


def test_make_run_traces_runs_own_traces_from_several_seeds(project: Project) -> None:
    """The recipe of `make run-traces`, at the size of this run and with two seeds."""
    project.edit_params(limit__train=None, limit__test=2, training_seeds=[1, 2])
    project.commit()
    traces = project.root.with_name("logs")
    shutil.copytree(project.root / "examples/parcels", traces)
    project.run("make", "--old-file=setup", "run-traces", f"TRACES={traces}")

    # Nothing of this machine is in what git keeps, so that the run is valid on another one.
    for file in ("dvc.lock", "params.yaml"):
        text = (project.root / file).read_text(encoding="utf-8")
        assert not re.findall(r"^.*(?:path|dep): *[\"']?/.*$", text, re.MULTILINE), file
        assert str(traces) not in text
        assert str(project.root) not in text
    assert YAML(typ="safe").load(project.root / "params.yaml")["traces"]["path"] == (
        "data/own-traces"
    )

    headline = json.loads((project.root / "metrics/headline.json").read_text(encoding="utf-8"))
    assert set(headline) == {"own"}
    imported = json.loads((project.root / "data/corpus/import.json").read_text(encoding="utf-8"))
    assert imported["files"]["traces.jsonl"]["conversations"] == 60
    table = (project.root / "reports/benchmark.md").read_text(encoding="utf-8")
    assert table.count("between 2 seeds") == 2
    for cell in (f"own-{pipeline}" for pipeline in PARAMS.pipelines):
        first, second = (
            (project.root / f"models/adapters/{cell}-{seed}/adapter_model.safetensors").read_bytes()
            for seed in (1, 2)
        )
        assert first != second
        metrics = json.loads((project.root / f"data/scores/cells/{cell}.json").read_text())
        scores = {name: one["judge"] for name, one in metrics["students"].items()}
        assert list(scores) == [f"{cell}-1", f"{cell}-2"]
        assert metrics["judge"] == pytest.approx(sum(scores.values()) / 2, abs=1e-5)
        package = project.root / "models/students" / cell
        packaged = (package / "adapter/adapter_model.safetensors").read_bytes()
        assert packaged == first
        card = " ".join((package / "README.md").read_text(encoding="utf-8").split())
        assert "This student was trained with seed 1. Across 2 students that differ only" in card
    filtered = json.loads(
        (project.root / "data/filtered/own/summary.json").read_text(encoding="utf-8")
    )
    assert filtered["kept"] > 0
    for folder in ("relabeled", "tft"):
        assert read_conversations(project.root / f"data/{folder}/own/train.parquet")
    table = (project.root / "reports/benchmark.md").read_text(encoding="utf-8")
    for pipeline in PARAMS.pipelines:
        assert re.search(rf"^\| own +\| {pipeline} ", table, re.MULTILINE)
        student = project.root / f"models/students/own-{pipeline}"
        card = (student / "README.md").read_text(encoding="utf-8")
        assert "plain_text" in card
        assert "| judge " in card
        assert read_task(student / "job_description.json") == read_task(
            project.root / "examples/parcels/job_description.json"
        )
        command = server_command(student, "127.0.0.1", 8000)
        assert Path(command[command.index("--tool-parser-plugin") + 1]).is_file()
    comparison = json.loads((project.root / "data/scores/comparison.json").read_text())
    assert set(comparison) == {"own"}
