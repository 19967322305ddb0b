"""Compare every predicted turn with its reference, sum up per cell, and compare tft with direct.

Reads data/predictions/*.parquet, data/baselines/*.parquet, data/teacher/*.parquet,
data/verdicts/*.parquet, data/split/test.parquet, data/split/task.json and metrics/judge.json (how
often the judge errs: its scores are corrected by that). Writes for each of these predictions, of a
student or a policy, data/scores/NAME.parquet and metrics/breakdown/NAME.json (where it goes wrong;
what of it is drawn goes to NAME.csv in reports/confusion, reports/arguments and reports/curves).
Over a cell's students, one per training seed, it writes metrics/cells/CELL.json, and over its cells
metrics/comparison.json, which is empty where not both pipelines are run.

    python stages/score.py
"""

from collections.abc import Sequence, Set
from itertools import chain
from pathlib import Path

import click

from tft.errors import InputError
from tft.evaluation.breakdown import arguments_csv, breakdown, confusion_csv, curves_csv
from tft.evaluation.correction import read_measured
from tft.evaluation.summary import (
    Students,
    average,
    compare_pipelines,
    compare_students,
    correct,
    summarize_students,
)
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
    policies = sorted(
        path
        for folder in ("baselines", "teacher")
        for path in Path("data", folder).glob("*.parquet")
    )
    students = {
        f"{scenario}-{pipeline}": [f"{scenario}-{pipeline}-{seed}" for seed in params.seeds]
        for scenario in params.scenarios
        for pipeline in params.pipelines
    }
    if missing := {"base", *chain(*students.values())} - {path.stem for path in predictions}:
        raise InputError(
            f"data/predictions: no {min(missing)}.parquet to score; `dvc repro predict` makes it"
        )
    measured = read_measured(Path("metrics/judge.json"))
    scores, unjudged, judges = {}, {}, {}
    for path in [*policies, *predictions]:
        name = path.stem
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
        if not judged:
            raise InputError(f"{verdict_path}: no turn has a verdict; its reasons say why")
        rows = scores[name] = [
            {**score(turn, task), "judge": float(verdicts[turn.conversation, turn.index]["good"])}
            for turn in judged
        ]
        write_rows(Path("data/scores") / path.name, SCORES, rows)
        unjudged[name], judges[name] = without, {row["judge"] for row in verdicts.values()}
        details = breakdown(judged, rows)
        write_json(Path("metrics/breakdown") / f"{name}.json", details)
        write_text(Path("reports/confusion") / f"{name}.csv", confusion_csv(rows))
        write_text(Path("reports/arguments") / f"{name}.csv", arguments_csv(details))
        write_text(Path("reports/curves") / f"{name}.csv", curves_csv(details))

    cells = {name: [name] for name in [*(path.stem for path in policies), "base"]} | students
    for cell, names in cells.items():
        without = set().union(*(unjudged[name] for name in names))
        judged_by = ", ".join(sorted(set().union(*(judges[name] for name in names))))
        rows = leave_out(without, scores, names)
        summary = {
            "judged_by": judged_by,
            "no_verdict": len(without),
            **correct(summarize_students(rows), average(rows), judged_by, measured),
        }
        write_json(Path("metrics/cells") / f"{cell}.json", summary)
        print(f"{cell}: judge {summary['judge']:.3f}, staged {summary['staged_tool_call']:.3f}")
    everywhere = set().union(*unjudged.values())
    paired = {cell: leave_out(everywhere, scores, names) for cell, names in students.items()}
    compared = list(params.scenarios) if {"tft", "direct"} <= set(params.pipelines) else []
    comparison = compare_pipelines({cell: average(one) for cell, one in paired.items()}, compared)
    for scenario in compared:
        tft, direct = paired[f"{scenario}-tft"], paired[f"{scenario}-direct"]
        comparison[scenario] |= compare_students(tft, direct)
    write_json(Path("metrics/comparison.json"), comparison)


def leave_out(without: Set[tuple[str, int]], scores: Students, names: Sequence[str]) -> Students:
    """Some students' scores of the same turns: of all but those that lack a verdict."""
    return {
        name: [row for row in scores[name] if (row["conversation"], row["turn"]) not in without]
        for name in names
    }


if __name__ == "__main__":
    timed(main)
