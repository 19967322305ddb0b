"""Compare every predicted turn with its reference, sum up per cell, and compare tft with direct.

Reads data/predictions/*.parquet, data/baselines/*.parquet, data/teacher/*.parquet,
data/verdicts/*.parquet, data/split/test.parquet, data/split/task.json and metrics/judge.json (how
often the judge errs: its scores are corrected by that). Writes data/scores/CELL.parquet,
metrics/cells/CELL.json, metrics/breakdown/CELL.json (where the cell goes wrong; what of it is drawn
goes to reports/confusion/CELL.csv and reports/curves/CELL.csv), and metrics/comparison.json, which
is empty where not both pipelines are run.

    python stages/score.py
"""

from pathlib import Path

import click

from tft.errors import InputError
from tft.evaluation.breakdown import breakdown, confusion_csv, curves_csv
from tft.evaluation.correction import read_measured
from tft.evaluation.summary import compare_pipelines, correct, summarize
from tft.evaluation.tool_calls import score
from tft.params import load_params
from tft.tables import (
    SCORES,
    VERDICTS,
    read_conversations,
    read_rows,
    read_turns,
    write_json,
    write_rows,
    write_text,
)
from tft.task import read_task
from tft.timing import timed


@click.command(help=__doc__)
def main() -> None:
    """See the module's docstring."""
    params = load_params()
    test = read_conversations(Path("data/split/test.parquet"))
    task = read_task(Path("data/split/task.json"))
    predictions = sorted(Path("data/predictions").glob("*.parquet"))
    cells = {f"{scenario}-{name}" for scenario in params.scenarios for name in params.pipelines}
    if missing := cells - {path.stem for path in predictions}:
        raise InputError(
            f"data/predictions: no {min(missing)}.parquet to score; `dvc repro predict` makes it"
        )
    measured = read_measured(Path("metrics/judge.json"))
    scores, unjudged = {}, set()
    others = [*Path("data/baselines").glob("*.parquet"), *Path("data/teacher").glob("*.parquet")]
    for path in [*sorted(others), *predictions]:
        cell = path.stem
        verdict_path = Path("data/verdicts") / path.name
        verdicts = {
            (row["conversation"], row["turn"]): row for row in read_rows(verdict_path, VERDICTS)
        }
        turns = read_turns(path, test)
        if verdicts.keys() != {(turn.conversation, turn.index) for turn in turns}:
            raise InputError(
                f"{verdict_path}: not the turns of {path}; run `dvc repro judge` again"
            )
        without = {key for key, verdict in verdicts.items() if verdict["good"] is None}
        judged = [turn for turn in turns if (turn.conversation, turn.index) not in without]
        unjudged |= without
        if not judged:
            raise InputError(f"{verdict_path}: no turn has a verdict; its reasons say why")
        rows = scores[cell] = [
            {**score(turn, task), "judge": float(verdicts[turn.conversation, turn.index]["good"])}
            for turn in judged
        ]
        write_rows(Path("data/scores") / path.name, SCORES, rows)
        judged_by = ", ".join(sorted({row["judge"] for row in verdicts.values()}))
        summary = {
            "judged_by": judged_by,
            "no_verdict": len(turns) - len(judged),
            **correct(summarize(rows), rows, judged_by, measured),
        }
        write_json(Path("metrics/cells") / f"{cell}.json", summary)
        details = breakdown(judged, rows)
        write_json(Path("metrics/breakdown") / f"{cell}.json", details)
        write_text(Path("reports/confusion") / f"{cell}.csv", confusion_csv(rows))
        write_text(Path("reports/curves") / f"{cell}.csv", curves_csv(details))
        print(f"{cell}: judge {summary['judge']:.3f}, staged {summary['staged_tool_call']:.3f}")
    both = {"tft", "direct"} <= set(params.pipelines)
    paired = {  # the same turns for all: those with a verdict in every cell
        cell: [row for row in rows if (row["conversation"], row["turn"]) not in unjudged]
        for cell, rows in scores.items()
    }
    comparison = compare_pipelines(paired, list(params.scenarios) if both else [])
    write_json(Path("metrics/comparison.json"), comparison)


if __name__ == "__main__":
    timed(main)
