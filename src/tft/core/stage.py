"""What every stage script shares: params, command line, elapsed time, and one-line errors.

DVC does not record how long a stage took, and times must not be in outputs that other stages depend
on. Each stage that DVC runs therefore writes the time of its last successful run to
reports/times/STAGE.json, which neither DVC nor git tracks. The stage `report` reads these files.
"""

import inspect
import json
import os
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NotRequired, TypedDict, TypeVar

import click
import psutil

from tft.core.tables import write_json

TIMES = Path("reports/times")

P = TypeVar("P")


class Time(TypedDict):
    """How long a stage took, in seconds, and when this was measured (UTC, to the minute)."""

    seconds: float
    measured: NotRequired[str]


def stage(load: Callable[[], P]) -> Callable[[Callable[..., Time | None]], click.Command]:
    """Turn `main(params, *arguments)` into the command of a stage script.

    The command's help is the script's docstring. Its arguments are those of `main` after `params`,
    converted to their annotated types. Bad input ends it with one line and exit code 1 (see
    `InputError`). If DVC runs it, its time is recorded; a stage that took its result from a cache
    returns the time that computing the result took.
    """

    def decorate(main: Callable[..., Time | None]) -> click.Command:
        def run(**arguments: Any) -> None:
            spent = main(load(), **arguments) or elapsed()
            if name := os.environ.get("DVC_STAGE"):
                write_json(TIMES / f"{name}.json", spent)

        _, *parameters = inspect.signature(main, eval_str=True).parameters.values()
        for parameter in reversed(parameters):
            run = click.argument(parameter.name, type=parameter.annotation)(run)
        return click.command(help=inspect.getmodule(main).__doc__)(run)

    return decorate


def elapsed() -> Time:
    """How long this process has been running, including imports."""
    seconds = round(time.time() - psutil.Process().create_time(), 1)
    now = datetime.now(UTC).isoformat(timespec="minutes").removesuffix("+00:00")
    return {"seconds": seconds, "measured": now}


def read_times(items: Collection[str]) -> dict[str, Time]:
    """The recorded times, by stage; for stages that run once per item, only those of `items`."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(TIMES.glob("*.json"))
        if path.stem.partition("@")[2] in {"", *items}
    }
