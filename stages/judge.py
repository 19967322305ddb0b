"""Give every predicted turn a verdict, good or bad, with its reason and the fact it rests on.

Reads data/predictions/*.parquet, data/baselines/*.parquet, data/teacher/*.parquet,
data/split/test.parquet and data/split/task.json. Writes data/verdicts/NAME.parquet for each of
these predictions, of a student or a policy, and metrics/verdicts.json.

    python stages/judge.py
"""

from pathlib import Path

import click

from tft.errors import InputError
from tft.evaluation.judge import judges_agreement
from tft.evaluation.verdicts import count_verdicts, verdict_rows
from tft.params import load_params
from tft.roles import judge_for, language_models
from tft.tables import VERDICTS, read_conversations, read_turns, write_json, write_rows
from tft.task import read_task
from tft.timing import timed


@click.command(help=__doc__)
def main() -> None:
    """See the module's docstring."""
    params = load_params()
    models = language_models(params)
    judge, judged_by = judge_for(params, models, "judge", params.today)
    test = read_conversations(Path("data/split/test.parquet"))
    task = read_task(Path("data/split/task.json"))
    predictions = sorted(Path("data/predictions").glob("*.parquet"))
    if not predictions:
        raise InputError("data/predictions: no cell to judge; `dvc repro predict` makes them")
    cells, everything = {}, []
    others = [*Path("data/baselines").glob("*.parquet"), *Path("data/teacher").glob("*.parquet")]
    for path in [*sorted(others), *predictions]:
        turns = read_turns(path, test)
        verdicts = judge(turns, task)
        rows = verdict_rows(turns, verdicts, judged_by)
        write_rows(Path("data/verdicts") / path.name, VERDICTS, rows)
        counts = cells[path.stem] = count_verdicts(verdicts)
        everything += verdicts
        bad = counts["bad"]
        often = sorted(bad, key=lambda reason: -bad[reason])
        listed = ", ".join(f"{reason} {bad[reason]}" for reason in often)
        print(f"{path.stem}: {len(turns)} turns, {sum(bad.values())} bad ({listed or 'none'})")
    summary = {"judged_by": judged_by, "judges": judges_agreement(everything), "cells": cells}
    write_json(Path("metrics/verdicts.json"), summary | models.usage())


if __name__ == "__main__":
    timed(main)
