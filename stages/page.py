"""Make the page to look at: tables, charts, and every turn with the training turns like it.

Reads data/split/test.parquet, data/predictions/*.parquet, data/baselines/*.parquet,
data/verdicts/*.parquet, data/PIPELINE/SCENARIO/train.parquet, reports/loss/*.csv and metrics/.
Writes reports/index.html, which needs nothing beside it, and reports/delta.csv, which `dvc plots`
draws.

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
from tft.report.charts import delta_csv, delta_rows
from tft.report.page import STEPS, Run, render_page
from tft.report.table import BASELINES, both, cell_places, read_metrics
from tft.report.turns import Answer, Cell, browser
from tft.tables import (
    VERDICTS,
    read_conversations,
    read_rows,
    read_turns,
    write_text,
)


@click.command(help=__doc__)
def main() -> None:
    """See the module's docstring."""
    params = load_params()
    places = cell_places(list(params.scenarios), params.pipelines)
    compared = list(params.scenarios) if both(params.pipelines) else []
    tests = read_conversations(Path("data/split/test.parquet"))
    cells, losses = {}, {}
    for cell, place in places.items():
        answers = read_answers(cell, tests)
        if cell in BASELINES:
            cells[cell] = Cell(answers)
        else:
            folder = f"{place['pipeline']}/{place['scenario']}"
            training = read_conversations(Path("data") / folder / "train.parquet")
            cells[cell] = Cell(answers, folder, training)
            losses[cell] = read_loss(Path("reports/loss") / f"{cell}.csv")
    robustness = read_metrics(Path("metrics/robustness.json"), "robustness")
    run = Run(
        corpus=params.corpus,
        student=params.student,
        kinds={name: scenario.kind for name, scenario in params.scenarios.items()},
        pipelines=params.pipelines,
        cells={cell: read_metrics(Path(f"metrics/cells/{cell}.json"), "score") for cell in places},
        comparison=read_metrics(Path("metrics/comparison.json"), "score", holds=compared),
        breakdown={
            cell: read_metrics(Path(f"metrics/breakdown/{cell}.json"), "score") for cell in places
        },
        losses=losses,
        curation={
            step: {
                scenario: read_metrics(Path(f"metrics/{step}/{scenario}.json"), step)
                for scenario in params.scenarios
            }
            for step in STEPS
        },
        others=[
            read_metrics(Path("metrics/references.json"), "references"),
            read_metrics(Path("metrics/verdicts.json"), "judge"),
            robustness,
        ],
        robustness=robustness,
        sweep=read_metrics(Path("metrics/sweep.json"), "sweep"),
        turns=browser(tests, cells),
    )
    write_text(Path("reports/index.html"), render_page(run))
    write_text(Path("reports/delta.csv"), delta_csv(delta_rows(run.comparison, run.kinds)))
    print("reports/index.html: open it in a browser")


def read_answers(cell: str, tests: Sequence[Conversation]) -> list[Answer]:
    """A cell's predictions with their verdicts, in the order of the tests' turns."""
    students = cell == "base" or cell not in BASELINES
    path = Path("data") / ("predictions" if students else "baselines") / f"{cell}.parquet"
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
    main()
