"""The whole pipeline at a reduced size, by the commands a user types: real DVC, dialogues, vLLM."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures.repository import ROOT, SGD
from ruamel.yaml import YAML

from tft.cli.serve import server_command
from tft.config import load_params
from tft.core.tables import read_conversations
from tft.core.task import read_task
from tft.report.table import BASELINES

PARAMS = load_params(ROOT / "params.yaml")
# Of the five: one for relabelling, one with foreign names, one for the filter. At this size a run
# is mostly the start of processes, so that each scenario costs as much as any.
SCENARIOS = ["noisy_labels", "schema_drift", "trace_mixing"]
CELLS = [f"{scenario}-{pipeline}" for scenario in SCENARIOS for pipeline in PARAMS.pipelines]
STUDENTS = [f"{cell}-{seed}" for cell in CELLS for seed in PARAMS.seeds]

pytestmark = pytest.mark.vllm
needs_sgd = pytest.mark.usefixtures("sgd_archive")


class Project:
    """A copy of the repository with its own git history, DVC cache and prediction cache."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cache = root.parent / "cache"
        self.environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(root / "src"),  # before the environment's editable install
            "TFT_CACHE": str(self.cache),
            "TFT_SGD_ARCHIVE": str(SGD),
        }

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.root, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command} exits {done.returncode}\n{done.stdout}"
        return done.stdout

    def stages_run_by(self, *command: str) -> set[str]:
        return set(re.findall(r"^Running stage '(.+)':$", self.run(*command), re.MULTILINE))

    def commit(self) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "state")

    def edit_params(self, **values: object) -> None:
        """Set keys of params.yaml; a double underscore stands for the dot between two levels."""
        yaml = YAML()
        content = yaml.load(self.root / "params.yaml")
        for key, value in values.items():
            section = content
            *parents, last = key.split("__")
            for parent in parents:
                section = section[parent]
            assert last in section
            section[last] = value
        yaml.dump(content, self.root / "params.yaml")

    def decoded(self) -> set[Path]:
        """The cache's files of answers, one for each adapter and set of questions."""
        return set((self.cache / "predictions").iterdir())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy in which `dvc repro` has run once, few conversations and few steps."""
    root = tmp_path_factory.mktemp("project") / "repository"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    for made_by_a_run in (root / "dvc.lock", *(root / "metrics").iterdir()):
        if made_by_a_run.is_dir():
            shutil.rmtree(made_by_a_run)
        elif made_by_a_run.name not in ("judge.json", "sweep.json"):  # frozen stages', which ship
            made_by_a_run.unlink(missing_ok=True)

    project = Project(root)
    project.edit_params(
        run=SCENARIOS, limit__train=6, limit__test=1,
        scenarios__schema_drift__traces=4, scenarios__schema_drift__other_traces=4,
        scenarios__trace_mixing__traces=2, scenarios__trace_mixing__other_traces=4,
        synthesize__target=6, synthesize__batch=32,
        students__tiny__train__epochs=1, predict__max_new_tokens=32,
    )  # fmt: skip
    project.run("git", "init", "--quiet")
    project.run("git", "config", "user.name", "test")
    project.run("git", "config", "user.email", "test@example.org")
    project.commit()
    ran = project.stages_run_by("dvc", "repro")
    single = {"fetch", "split", "references", "predict", "baselines", "judge", "score", "report"}
    single |= {"teacher", "robustness", "page"}
    assert ran == single | {
        f"{stage}@{scenario}"
        for stage in ("traces", "filter", "relabel", "synthesize", "audit")
        for scenario in SCENARIOS
    } | {f"finetune@{student}" for student in STUDENTS} | {f"package@{cell}" for cell in CELLS} | {
        f"contamination@{pipeline}" for pipeline in PARAMS.pipelines
    }
    project.commit()
    return project


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


def test_a_second_run_does_nothing(project: Project) -> None:
    assert "Data and pipelines are up to date." in project.run("dvc", "repro")
    assert project.run("git", "status", "--porcelain") == ""


def test_make_compare_sets_the_pipelines_side_by_side(project: Project) -> None:
    """Its own recipe, in this environment instead of the one that `setup` makes."""
    ran = project.stages_run_by("make", "--old-file=setup", "compare")
    assert ran == {"report"}
    assert project.run("git", "status", "--porcelain") == ""
    diff = json.loads(project.run("dvc", "metrics", "diff", "--all", "--json", "direct", "tft"))
    direct, tft = (
        json.loads((project.root / f"metrics/pipelines/{name}.json").read_text(encoding="utf-8"))
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


def test_a_scenario_param_rebuilds_its_cells_and_the_table_and_nothing_else(
    experiment: tuple[set[str], int],
) -> None:
    ran, asked = experiment
    own = {f"{stage}@schema_drift" for stage in ("traces", "filter", "relabel", "synthesize")} | {
        f"audit@{scenario}" for scenario in SCENARIOS
    }
    own |= (
        {"predict", "baselines", "score", "robustness", "page"}
        | {f"contamination@{pipeline}" for pipeline in PARAMS.pipelines}
        | {f"package@schema_drift-{pipeline}" for pipeline in PARAMS.pipelines}
        | {f"finetune@{name}" for name in STUDENTS if name.startswith("schema_drift-")}
    )
    # Where all verdicts or scores come out equal, what follows from them is up to date as it is.
    assert own <= ran <= own | {"judge", "report"}
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
def test_real_dialogues_take_the_place_of_simulated_ones(project: Project) -> None:
    project.commit()
    project.edit_params(corpus="sgd")
    ran = project.stages_run_by("dvc", "repro", "synthesize@trace_mixing")
    assert ran == {
        *("fetch", "split", "references"),
        *(f"{stage}@trace_mixing" for stage in ("traces", "filter", "relabel", "synthesize")),
    }
    traces = read_conversations(project.root / "data/direct/trace_mixing/train.parquet")
    assert {one.source for one in traces} == {"Hotels_1", "Restaurants_1"}
    project.run("git", "restore", ".")
    project.run("dvc", "checkout")


@needs_sgd
def test_a_new_base_is_made_on_demand_and_makes_every_student_out_of_date(project: Project) -> None:
    project.edit_params(
        pretrain__start=None, pretrain__steps=20, pretrain__copy_steps=5, pretrain__row_tokens=512
    )
    assert not project.stages_run_by("dvc", "repro", "pretrain")  # frozen

    project.run("python", "stages/pretrain.py")  # what `make pretrain` does
    project.run("dvc", "commit", "--force", "pretrain")
    planned = project.stages_run_by("dvc", "repro", "--dry")
    assert {f"finetune@{student}" for student in STUDENTS} <= planned
    assert not planned & {"fetch", "split", "pretrain"}


def test_own_traces_take_the_same_way_from_several_seeds(project: Project) -> None:
    """The command of examples/parcels/README.md, at the size of this run and with two seeds."""
    project.commit()
    project.run(
        "dvc", "exp", "run", "--name", "own", "--set-param", "corpus=traces",
        "--set-param", "run=[own]",
        "--set-param", "limit.train=null", "--set-param", "limit.test=2",
        "--set-param", "seeds=[1,2]",
    )  # fmt: skip
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
