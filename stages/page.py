"""Make the page to look at: tables, charts, and every turn with the training turns like it.

Reads data/split/test.parquet, data/predictions/*.parquet, data/baselines/*.parquet,
data/teacher/*.parquet, data/verdicts/*.parquet, data/PIPELINE/SCENARIO/train.parquet,
reports/loss/*.csv, metrics/, and reports/times/*.json where stages left any. Of students that
differ in the training seed alone it shows the turns of the first seed's. Writes reports/index.html,
which needs nothing beside it, what of it `dvc plots` draws (reports/delta.csv,
reports/robustness.csv, reports/sweep.csv), and metrics/times.json.

    python stages/page.py
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import click

from tft.conversation import Conversation
from tft.errors import InputError
from tft.evaluation.tool_calls import staged_tool_call
from tft.params import load_params
from tft.report.charts import delta_csv, delta_rows, robustness_csv, sweep_csv
from tft.report.page import STEPS, Run, render_page
from tft.report.table import (
    LABELS,
    TEACHER,
    both,
    cell_places,
    read_contamination,
    read_metrics,
    sweep_of,
)
from tft.report.turns import Answer, Cell, browser
from tft.tables import (
    VERDICTS,
    read_conversations,
    read_rows,
    read_turns,
    write_json,
    write_text,
)
from tft.timing import read_times, timed


@click.command(help=__doc__)
def main() -> None:
    """See the module's docstring."""
    params = load_params()
    places = cell_places(list(params.scenarios), params.pipelines, params.teacher.role == "llm")
    compared = list(params.scenarios) if both(params.pipelines) else []
    tests = read_conversations(Path("data/split/test.parquet"))
    shown = {cell: cell if cell in LABELS else f"{cell}-{params.seeds[0]}" for cell in places}
    students = [f"{cell}-{seed}" for cell in places for seed in params.seeds]
    cells, losses = {}, {}
    for cell, place in places.items():
        answers = read_answers(shown[cell], tests)
        if cell in LABELS:
            cells[cell] = Cell(answers)
        else:
            folder = f"{place['pipeline']}/{place['scenario']}"
            training = read_conversations(Path("data") / folder / "train.parquet")
            cells[cell] = Cell(answers, folder, training)
            losses[cell] = read_loss(Path("reports/loss") / f"{shown[cell]}.csv")
    references = read_metrics(Path("metrics/references.json"), "references")
    robustness = read_metrics(Path("metrics/robustness.json"), "robustness")
    run = Run(
        corpus=params.corpus,
        student=params.student,
        scenarios=list(params.scenarios),
        pipelines=params.pipelines,
        seeds=params.seeds,
        labelled_by=references["labelled_by"],
        cells={cell: read_metrics(Path(f"metrics/cells/{cell}.json"), "score") for cell in places},
        comparison=read_metrics(Path("metrics/comparison.json"), "score", holds=compared),
        breakdown={
            cell: read_metrics(Path(f"metrics/breakdown/{name}.json"), "score")
            for cell, name in shown.items()
        },
        losses=losses,
        curation={
            step: {
                scenario: read_metrics(Path(f"metrics/{step}/{scenario}.json"), step)
                for scenario in params.scenarios
            }
            for step in STEPS
        },
        contamination=read_contamination(params.pipelines, list(params.scenarios)),
        others=[
            references,
            read_metrics(Path("metrics/teacher.json"), "teacher"),
            read_metrics(Path("metrics/verdicts.json"), "judge"),
            robustness,
        ],
        times=read_times([*params.scenarios, *params.pipelines, *places, *students]),
        robustness=robustness,
        sweep=sweep_of(
            read_metrics(Path("metrics/sweep.json"), "sweep"), params.corpus, params.student
        ),
        turns=browser(tests, cells),
    )
    write_text(Path("reports/index.html"), render_page(run))
    write_text(Path("reports/delta.csv"), delta_csv(delta_rows(run.comparison)))
    write_text(Path("reports/robustness.csv"), robustness_csv(places, run.robustness))
    write_text(Path("reports/sweep.csv"), sweep_csv(run.sweep))
    write_json(Path("metrics/times.json"), run.times)
    print("reports/index.html: open it in a browser")


def read_answers(name: str, tests: Sequence[Conversation]) -> list[Answer]:
    """A student's or a policy's predictions with verdicts, in the order of the tests' turns."""
    students = name == "base" or name not in LABELS
    others = "teacher" if name == TEACHER else "baselines"
    path = Path("data") / ("predictions" if students else others) / f"{name}.parquet"
    turns = read_turns(path, tests)
    verdict_path = Path("data/verdicts") / path.name
    rows = read_rows(verdict_path, VERDICTS)
    verdicts = {(row["conversation"], row["turn"]): row for row in rows}
    if verdicts.keys() != {(turn.conversation, turn.index) for turn in turns}:
        raise InputError(f"{verdict_path}: not the turns of {path}; run `dvc repro judge` again")
    answers = []
    for turn in turns:
        verdict = verdicts[turn.conversation, turn.index]
        said = (verdict[key] for key in ("good", "reason", "evidence"))
        answers.append(Answer(turn, staged_tool_call(turn.reference, turn.prediction), *said))
    return answers


def read_loss(path: Path) -> list[dict[str, str | float]]:
    """Rows of a loss curve."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; `dvc repro finetune` makes it")
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {"step": float(row["step"]), "split": row["split"], "loss": float(row["loss"])}
            for row in csv.DictReader(file)
        ]


if __name__ == "__main__":
    timed(main)
