"""`dvc repro` with its place in the whole: which stage, how far, how long still."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click

from tft.core.stage import read_times

DVC = (sys.executable, "-m", "dvc")
# Seconds around each stage that its own time does not hold: the start of Python, DVC's checksums.
SECONDS = Path(__file__).with_name("seconds.json")
OVERHEAD = 3.0
STAGE = re.compile(r"(?:(Running) stage|Stage) '(.+?)'")  # as DVC announces or skips one


def run_pipeline() -> int:
    """Run `dvc repro` in the current directory, each stage with its number and the time left.

    The time is estimated from the last run here, or, for stages that never ran here, from
    seconds.json, which another machine measured: the stages run so far tell how much slower or
    faster this one is.

    Returns:
        The exit status of `dvc repro`.
    """
    listed = subprocess.run(  # noqa: S603
        [*DVC, "stage", "list", "--name-only"], stdout=subprocess.PIPE, text=True, check=True
    )
    names = listed.stdout.split()
    known: dict[str, float] = json.loads(SECONDS.read_text(encoding="utf-8"))
    here = read_times({name.partition("@")[2] for name in names})
    known |= {name: noted["seconds"] for name, noted in here.items()}
    seconds = {name: known[name] + OVERHEAD if name in known else 0.0 for name in names}
    # Unbuffered, or what a stage prints comes only when it ends; progress bars go to stderr.
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(  # noqa: S603
        [*DVC, "repro"], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in announced(process.stdout, seconds):
            click.echo(line, nl=False)
    return process.returncode


def announced(lines: Iterable[str], seconds: Mapping[str, float]) -> Iterator[str]:
    """DVC's lines; above each stage that runs its number, the time gone by and the time left.

    Args:
        lines: what `dvc repro` prints.
        seconds: that each stage may take, 0 where unknown; stages that are skipped take none.
    """
    start = time.monotonic()
    left = dict(seconds)
    done = 0.0  # seconds that the stages run so far should have taken
    running = ""
    for line in lines:
        if found := STAGE.match(line):
            runs, name = found.groups()
            done += left.pop(running, 0.0)
            running = name if runs else ""
            if not runs:
                left.pop(name, None)
            else:
                gone = time.monotonic() - start
                pace = gone / done if done else 1.0
                number = len(seconds) - len(left) + 1
                told = f"{_minutes(gone)} gone"
                if any(left.values()):
                    told += f", about {_minutes(sum(left.values()) * pace)} left"
                yield f"\n[{number}/{len(seconds)}] {name}: {told}\n"
        yield line


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
