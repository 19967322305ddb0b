"""Compare every predicted turn with its reference, and sum up per cell.

Reads data/predictions/*.parquet, data/verdicts/*.parquet, data/split/test.parquet and
data/split/task.json. Writes data/scores/CELL.parquet and metrics/cells/CELL.json.

    python stages/score.py
"""

from pathlib import Path

import click

from tft.errors import InputError
from tft.evaluation.summary import summarize
from tft.evaluation.tool_calls import score
from tft.tables import (
    SCORES,
    VERDICTS,
    read_conversations,
    read_rows,
    read_turns,
    write_json,
    write_rows,
)
from tft.task import read_task


@click.command(help=__doc__)
def main() -> None:
    """See the module's docstring."""
    test = read_conversations(Path("data/split/test.parquet"))
    task = read_task(Path("data/split/task.json"))
    predictions = sorted(Path("data/predictions").glob("*.parquet"))
    if not predictions:
        raise InputError("data/predictions: no cell to score; `dvc repro predict` makes them")
    for path in predictions:
        verdict_path = Path("data/verdicts") / path.name
        verdicts = {
            (row["conversation"], row["turn"]): row for row in read_rows(verdict_path, VERDICTS)
        }
        turns = read_turns(path, test)
        if verdicts.keys() != {(turn.conversation, turn.index) for turn in turns}:
            raise InputError(
                f"{verdict_path}: not the turns of {path}; run `dvc repro judge` again"
            )
        rows = []
        for turn in turns:
            good = verdicts[turn.conversation, turn.index]["good"]
            if good is not None:
                rows.append({**score(turn, task), "judge": float(good)})
        if not rows:
            raise InputError(f"{verdict_path}: no turn has a verdict; its reasons say why")
        write_rows(Path("data/scores") / path.name, SCORES, rows)
        judges = {row["judge"] for row in verdicts.values()}
        summary = {
            "judged_by": ", ".join(sorted(judges)),
            "no_verdict": len(turns) - len(rows),
            **summarize(rows),
        }
        write_json(Path("metrics/cells") / f"{path.stem}.json", summary)
        print(
            f"{path.stem}: judge {summary['judge']:.3f}, staged {summary['staged_tool_call']:.3f}"
        )


if __name__ == "__main__":
    main()
