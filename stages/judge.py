"""Give every predicted turn a verdict, good or bad, with its reason and the fact it rests on.

Reads data/predictions/*.parquet, data/baselines/*.parquet, data/split/test.parquet and
data/split/task.json. Writes data/verdicts/NAME.parquet for each of these predictions, of a student
or a policy, and metrics/verdicts.json.

    python stages/judge.py
"""

from collections import Counter
from pathlib import Path

import click

from tft.errors import InputError
from tft.evaluation.judge import judges_agreement
from tft.params import load_params
from tft.roles import judge_for
from tft.tables import VERDICTS, read_conversations, read_turns, write_json, write_rows
from tft.task import read_task


@click.command(help=__doc__)
def main() -> None:
    """See the module's docstring."""
    params = load_params()
    judge, judged_by, usage = judge_for(params, "judge")
    test = read_conversations(Path("data/split/test.parquet"))
    task = read_task(Path("data/split/task.json"))
    predictions = sorted(Path("data/predictions").glob("*.parquet"))
    if not predictions:
        raise InputError("data/predictions: no cell to judge; `dvc repro predict` makes them")
    cells, everything = {}, []
    for path in [*sorted(Path("data/baselines").glob("*.parquet")), *predictions]:
        turns = read_turns(path, test)
        verdicts = judge(turns, task)
        rows = [
            {
                "conversation": turn.conversation,
                "turn": turn.index,
                "judge": judged_by,
                "good": verdict.good,
                "reason": verdict.reason,
                "evidence": verdict.evidence,
            }
            for turn, verdict in zip(turns, verdicts, strict=True)
        ]
        write_rows(Path("data/verdicts") / path.name, VERDICTS, rows)
        bad = Counter(one.reason.split(":")[0] for one in verdicts if one.good is False)
        cells[path.stem] = {
            "turns": len(turns),
            "no_verdict": sum(verdict.good is None for verdict in verdicts),
            "bad": dict(sorted(bad.items())),
        }
        everything += verdicts
        listed = ", ".join(f"{reason} {number}" for reason, number in bad.most_common())
        print(f"{path.stem}: {len(turns)} turns, {bad.total()} bad ({listed or 'none'})")
    summary = {"judged_by": judged_by, "judges": judges_agreement(everything), "cells": cells}
    write_json(Path("metrics/verdicts.json"), summary | usage())


if __name__ == "__main__":
    main()
