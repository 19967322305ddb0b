"""`dvc repro` with progress: the number of the running stage and the time left."""

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
SECONDS = Path(__file__).with_name("seconds.json")
OVERHEAD = 3.0  # seconds per stage that its own time excludes: start of Python, DVC's checksums
STAGE = re.compile(r"(?:(Running) stage|Stage) '(.+?)'")  # DVC runs or skips a stage


def run_pipeline() -> int:
    """Run `dvc repro` in the current directory, showing each stage's number and the time left.

    The time left is estimated from the last run here or, for stages that never ran here, from
    seconds.json, which was measured on another machine. The stages run so far show how much slower
    or faster this machine is.

    Returns:
        The exit status of `dvc repro`.
    """
    listed = subprocess.run(  # noqa: S603
        [*DVC, "stage", "list", "--name-only"], stdout=subprocess.PIPE, text=True, check=True
    )
    names = listed.stdout.split()
    known: dict[str, float] = json.loads(SECONDS.read_text(encoding="utf-8"))
    measured_here = read_times({name.partition("@")[2] for name in names})
    known |= {name: recorded["seconds"] for name, recorded in measured_here.items()}
    seconds = {name: known[name] + OVERHEAD if name in known else 0.0 for name in names}
    # Unbuffered, so that output appears before a stage ends; progress bars go to stderr.
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(  # noqa: S603
        [*DVC, "repro"], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in announced(process.stdout, seconds):
            click.echo(line, nl=False)
    return process.returncode


def announced(lines: Iterable[str], seconds: Mapping[str, float]) -> Iterator[str]:
    """Yield DVC's lines and, above each running stage, its number, time elapsed, and time left.

    Args:
        lines: The output of `dvc repro`.
        seconds: The expected time of each stage, in seconds, or 0 if unknown.
    """
    start = time.monotonic()
    left = dict(seconds)
    done = 0.0  # the expected time of the stages run so far, in seconds
    running = ""
    for line in lines:
        if match := STAGE.match(line):
            runs, name = match.groups()
            done += left.pop(running, 0.0)
            running = name if runs else ""
            if not runs:
                left.pop(name, None)
            else:
                gone = time.monotonic() - start
                pace = gone / done if done else 1.0
                number = len(seconds) - len(left) + 1
                progress = f"{_minutes(gone)} gone"
                if any(left.values()):
                    progress += f", about {_minutes(sum(left.values()) * pace)} left"
                yield f"\n[{number}/{len(seconds)}] {name}: {progress}\n"
        yield line


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
