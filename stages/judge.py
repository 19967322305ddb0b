"""Give every predicted turn a verdict, good or bad, with its reason and the fact it rests on.

Reads data/predictions/*.parquet, data/baselines/*.parquet, data/split/test.parquet and
data/split/task.json. Writes data/verdicts/CELL.parquet for each of the cells predicted.

    python stages/judge.py
"""

from collections import Counter
from pathlib import Path

import click

from tft.errors import InputError
from tft.params import load_params
from tft.roles import judge_for
from tft.tables import VERDICTS, read_conversations, read_turns, write_rows
from tft.task import read_task


@click.command(help=__doc__)
def main() -> None:
    """See the module's docstring."""
    params = load_params()
    judge, judged_by = judge_for(params)
    test = read_conversations(Path("data/split/test.parquet"))
    task = read_task(Path("data/split/task.json"))
    predictions = sorted(Path("data/predictions").glob("*.parquet"))
    if not predictions:
        raise InputError("data/predictions: no cell to judge; `dvc repro predict` makes them")
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
        bad = Counter(verdict.reason.split(":")[0] for verdict in verdicts if not verdict.good)
        listed = ", ".join(f"{reason} {number}" for reason, number in bad.most_common())
        print(f"{path.stem}: {len(turns)} turns, {bad.total()} bad ({listed or 'none'})")


if __name__ == "__main__":
    main()
