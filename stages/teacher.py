"""Let the teacher answer every held-out turn itself, and judge its answers.

Reads data/split/test.parquet and data/split/task.json. Writes data/teacher/teacher.parquet,
predictions like those of students, which are judged and scored like them again further on (an LLM
judge's answers come from TFT_CACHE then), the verdicts on them, data/teacher/verdicts/, and
metrics/teacher.json, by which the stage finetune refuses to train students of a bad teacher.

Rules that write conversations from other conversations answer no turn: with `teacher.role: none`
data/teacher is empty, and metrics/teacher.json says so.

    python stages/teacher.py
"""

from pathlib import Path

import click

from tft.errors import InputError
from tft.evaluation.uncertainty import estimate
from tft.evaluation.verdicts import count_verdicts, verdict_rows
from tft.params import load_params
from tft.roles import judge_for, language_models, teacher_for
from tft.tables import (
    PREDICTIONS,
    VERDICTS,
    read_conversations,
    read_turns,
    write_json,
    write_rows,
)
from tft.task import read_task
from tft.timing import timed


@click.command(help=__doc__)
def main() -> None:
    """See the module's docstring."""
    params = load_params()
    folder, summary_path = Path("data/teacher"), Path("metrics/teacher.json")
    models = language_models(params)
    answer = teacher_for(params, models, "teacher")
    if answer is None:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(summary_path, {"role": params.teacher.role})
        print("teacher.role is none: nobody answers")
        return
    test = read_conversations(Path("data/split/test.parquet"))
    task = read_task(Path("data/split/task.json"))
    answers = folder / "teacher.parquet"
    write_rows(answers, PREDICTIONS, answer(test, task))
    turns = read_turns(answers, test)
    # Not what the judge is asked: the stage judge asks it again, and counts it among its costs.
    usage = models.usage()
    judge, judged_by = judge_for(params, models, "teacher, judge", params.today)
    verdicts = judge(turns, task)
    rows = verdict_rows(turns, verdicts, judged_by)
    write_rows(folder / "verdicts" / "teacher.parquet", VERDICTS, rows)
    judged = [row | {"judge": float(row["good"])} for row in rows if row["good"] is not None]
    if not judged:
        raise InputError(f"{folder}/verdicts: no turn has a verdict; its reasons say why")
    score = estimate(judged, "judge")
    summary = {
        "role": params.teacher.role,
        "model": params.teacher.model,
        "judged_by": judged_by,
        "judge": round(score.mean, 6),
        "interval": score.interval and [round(bound, 6) for bound in score.interval],
        **count_verdicts(verdicts),
        **usage,
    }
    write_json(summary_path, summary)
    print(f"teacher {params.teacher.model}: judge {score.mean:.3f} on {len(judged)} turns")


if __name__ == "__main__":
    timed(main)
