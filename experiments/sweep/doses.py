"""Dose and response: one experiment for each value of a scenario's param, and their scores.

    python -m experiments.sweep.doses

queues the experiments in experiments/sweep/params.yaml, each of one scenario. `dvc exp run
--run-all` runs them, and run.py collects their scores. `make sweep` does all three.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from dvc.api import DVCFileSystem
from dvc.repo import Repo
from ruamel.yaml import YAML

from experiments.sweep.config import SweepConfig
from tft.core.config import read_config
from tft.core.errors import InputError
from tft.report.table import MEASURES

Swept = Mapping[str, Mapping[str, Sequence[float]]]
"""{scenario: {param: [one value per experiment]}}; the first param is the dose."""


def experiments(swept: Swept) -> dict[str, dict[str, Any]]:
    """The params of each experiment, by the experiment's name, such as sweep-low_data-20."""
    settings_by_name = {}
    for scenario, settings in swept.items():
        for values in zip(*settings.values(), strict=True):
            settings_by_name[f"sweep-{scenario}-{values[0]}"] = {
                "run": f"[{scenario}]",
                **dict(zip(settings, values, strict=True)),
            }
    return settings_by_name


def queue(root: Path, swept: Swept) -> None:
    """Queue all experiments, removing earlier ones with the same names.

    Raises:
        InputError: params.yaml does not have one of the params, or DVC failed.
    """
    content = YAML(typ="safe").load(root / "params.yaml")
    for scenario, settings in swept.items():
        if scenario not in content["scenarios"]:
            raise InputError(
                f"experiments/sweep/params.yaml: {scenario!r} is none of params.yaml's scenarios: "
                f"{', '.join(content['scenarios'])}"
            )
        for key in settings:
            place = content
            for part in key.split("."):
                if not isinstance(place, dict) or part not in place:
                    raise InputError(
                        f"experiments/sweep/params.yaml: {scenario}: params.yaml has no {key!r}"
                    )
                place = place[part]
    names = experiments(swept)
    for name in {*made(root), *queued(root)} & {*names}:
        _dvc(root, "exp", "remove", "--quiet", name)
    for name, settings in names.items():
        changes = [f"--set-param={key}={value}" for key, value in settings.items()]
        click.echo(_dvc(root, "exp", "run", "--queue", "--name", name, *changes).strip())


def made(root: Path) -> dict[str, str]:
    """The commit of every finished experiment on HEAD, by name."""
    with Repo(str(root)) as repo:
        return {
            name: revision
            for of_commit in repo.experiments.ls().values()
            for name, revision in of_commit
        }


def queued(root: Path) -> set[str]:
    """The names of all experiments in DVC's queue, including failed ones."""
    with Repo(str(root)) as repo:
        return {entry["name"] for entry in repo.experiments.celery_queue.status()}


def collect(root: Path, swept: Swept, pipelines: Sequence[str]) -> dict[str, Any]:
    """Collect the scores of the experiments.

    Returns:
        {scenario: {dose: the param's name, corpus, student, judged_by, rows}}, with one row per
        dose and pipeline, which has MEASURES and their 95 % intervals.

    Raises:
        InputError: an experiment does not exist, or scores are of different corpora, students, or
            judges.
    """
    revisions = made(root)
    names = experiments(swept)
    if missing := [name for name in names if name not in revisions]:
        raise InputError(
            f"no experiment {', '.join(missing)} on this commit; `dvc queue status` and `dvc queue "
            "logs NAME` show those that failed, and `make sweep` runs all"
        )
    results: dict[str, Any] = {}
    for scenario, settings in swept.items():
        dose = next(iter(settings))
        rows, runs = [], set()
        for value in settings[dose]:
            revision = revisions[f"sweep-{scenario}-{value}"]
            # Read from the experiment, because the workspace may have changed.
            of_experiment = DVCFileSystem(repo=Repo(str(root), rev=revision))
            params = YAML(typ="safe").load(of_experiment.read_text("params.yaml"))
            for pipeline in pipelines:
                path = f"data/scores/cells/{scenario}-{pipeline}.json"
                try:
                    cell = json.loads(of_experiment.read_text(path))
                except FileNotFoundError as error:
                    name = f"sweep-{scenario}-{value}"
                    raise InputError(f"experiment {name}: no {path}; `make sweep`") from error
                runs.add((params["corpus"], params["student"], cell["judged_by"]))
                scores = {measure: cell[measure] for measure in MEASURES}
                intervals = {measure: cell["intervals"].get(measure) for measure in MEASURES}
                rows.append(
                    {"dose": value, "pipeline": pipeline, "n": cell["n"], **scores}
                    | {"intervals": intervals}
                )
        if len(runs) > 1:
            raise InputError(
                f"sweep {scenario}: the scores are of different corpora, students, or judges: "
                f"{sorted(runs)}; run `make sweep` again"
            )
        of_run = dict(zip(("corpus", "student", "judged_by"), runs.pop(), strict=True))
        results[scenario] = {"dose": dose, **of_run, "rows": rows}
    return results


def _dvc(root: Path, *arguments: str) -> str:
    return _output(root, sys.executable, "-m", "dvc", *arguments)


def _output(root: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise InputError(f"`{' '.join(command)}`: {done.stderr.strip()}")
    return done.stdout


@click.command(help="Queue the experiments in experiments/sweep/params.yaml.")
def main() -> None:
    """See the module's docstring."""
    queue(Path.cwd(), read_config(Path("experiments/sweep/params.yaml"), SweepConfig).scenarios)


if __name__ == "__main__":
    main()
