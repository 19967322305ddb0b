"""Put together what a user takes away: adapter, merged weights, task and card of one cell.

Where the agent answers in plain text, so does the student: with a parser and a template for it.

Reads the student's base, models/adapters/CELL-SEED, data/PIPELINE/SCENARIO/train.parquet,
data/split/task.json, reports/loss/CELL-SEED.csv, metrics/references.json and
metrics/cells/CELL.json, where SEED is the first of `seeds`. Writes models/students/CELL.

    python stages/package.py noisy_labels direct
"""

import csv
import json
from pathlib import Path

import click

from tft.corpus.talk import TALK, without_talk
from tft.params import load_params
from tft.student.card import write_student_card
from tft.student.takeaway import take_away
from tft.tables import read_conversations
from tft.task import read_task, write_task
from tft.timing import timed


@click.command(help=__doc__)
@click.argument("scenario")
@click.argument("pipeline")
def main(scenario: str, pipeline: str) -> None:
    """See the module's docstring."""
    params = load_params()
    params.scenario(scenario)
    cell = f"{scenario}-{pipeline}"
    student = f"{cell}-{params.seeds[0]}"
    trained = read_task(Path("data/split/task.json"))
    task = without_talk(trained)
    conversations = read_conversations(Path("data") / pipeline / scenario / "train.parquet")
    metrics, references = (
        json.loads((Path("metrics") / name).read_text(encoding="utf-8"))
        for name in (f"cells/{cell}.json", "references.json")
    )
    with (Path("reports/loss") / f"{student}.csv").open(encoding="utf-8", newline="") as file:
        losses = {row["split"]: float(row["loss"]) for row in csv.DictReader(file)}  # the last one
    adapter, output = Path("models/adapters") / student, Path("models/students") / cell
    talk = TALK if task != trained else None
    take_away(output, params.students[params.student], adapter, talk)
    write_task(output / "job_description.json", task)
    write_student_card(
        output,
        (scenario, pipeline),
        params,
        task,
        conversations,
        losses,
        metrics,
        labelled_by=references["labelled_by"],
    )


if __name__ == "__main__":
    timed(main)
