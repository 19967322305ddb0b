"""Compare every predicted turn with its reference, summarize cells, and compare TFT with Direct.

A cell is a scenario with a pipeline, and has one student per training seed. Policies and teacher
are cells of their own.

Reads data/predictions, data/teacher, data/verdicts, data/test/conversations.parquet,
data/split/task.json, and experiments/judge_agreement/judge.json (the judge's error rates, for which
scores are corrected). Writes data/scores: turns/NAME.parquet and breakdown/NAME.json for every
student, policy, and teacher, cells/CELL.json, and comparison.json, which is empty unless both
pipelines run. Also writes what `dvc plots` draws of a breakdown, NAME.csv in reports/confusion,
reports/arguments, and reports/curves.

    python stages/score.py
"""

from pathlib import Path

from tft.config import Params, load_params
from tft.core.stage import stage
from tft.core.tables import SCORES, read_conversations, write_json, write_rows, write_text
from tft.core.task import read_task
from tft.evaluation.breakdown import arguments_csv, confusion_csv, curves_csv
from tft.evaluation.cells import compare_cells, score_student, summarize_cell
from tft.evaluation.correction import read_measured
from tft.judge.verdicts import prediction_files, read_judged
from tft.predict.students import cell_students

SCORE_FOLDER = Path("data/scores")
REPORTS = Path("reports")


@stage(load_params)
def main(params: Params) -> None:
    """See the module's docstring."""
    test = read_conversations(Path("data/test/conversations.parquet"))
    task = read_task(Path("data/split/task.json"))
    measured = read_measured(Path("experiments/judge_agreement/judge.json"))

    # --- turns ---
    scored = {}
    for path in prediction_files(Path("data")):
        name = path.stem
        judged = read_judged(path, Path("data/verdicts") / path.name, test)
        student = scored[name] = score_student(name, judged, task)
        write_rows(SCORE_FOLDER / "turns" / f"{name}.parquet", SCORES, student.rows)
        write_json(SCORE_FOLDER / "breakdown" / f"{name}.json", student.breakdown)
        write_text(REPORTS / "confusion" / f"{name}.csv", confusion_csv(student.rows))
        write_text(REPORTS / "arguments" / f"{name}.csv", arguments_csv(student.breakdown))
        write_text(REPORTS / "curves" / f"{name}.csv", curves_csv(student.breakdown))

    # --- cells ---
    students = cell_students(params.run, params.pipelines, params.training_seeds, scored)
    for cell, names in students.items():
        summary = summarize_cell({name: scored[name] for name in names}, measured)
        write_json(SCORE_FOLDER / "cells" / f"{cell}.json", summary)
        print(f"{cell}: judge {summary['judge']:.3f}, staged {summary['staged_tool_call']:.3f}")

    # --- TFT against Direct ---
    compared = params.run if {"tft", "direct"} <= {*params.pipelines} else []
    write_json(SCORE_FOLDER / "comparison.json", compare_cells(scored, students, compared))


if __name__ == "__main__":
    main()
