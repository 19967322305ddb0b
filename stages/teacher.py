"""Let the teacher answer every held-out turn itself, and judge its answers.

The stage `finetune` refuses to train students of a teacher that scores badly itself. Rules that
write conversations cannot answer turns, so with `teacher.role: none` there is no teacher and no
gate.

Reads data/test/conversations.parquet and data/split/task.json. Writes data/teacher: summary.json
and, with a teacher, teacher.parquet (its answers, which are judged and scored again beside those
of the students) and verdicts/teacher.parquet.

    python stages/teacher.py
"""

from pathlib import Path

from tft.config import Params, load_params
from tft.core.errors import InputError
from tft.core.stage import stage
from tft.core.tables import (
    PREDICTIONS,
    VERDICTS,
    read_conversations,
    read_turns,
    write_json,
    write_rows,
)
from tft.core.task import read_task
from tft.evaluation.statistics import estimate
from tft.judge.choose import choose
from tft.judge.verdicts import count_verdicts, verdict_rows
from tft.llm import connect
from tft.predict.choose import choose_teacher

TEACHER = Path("data/teacher")


@stage(load_params)
def main(params: Params) -> None:
    """See the module's docstring."""
    models = connect(params.llm)
    answer = choose_teacher(params.teacher, models, "teacher")
    if answer is None:
        write_json(TEACHER / "summary.json", {"role": params.teacher.role})
        print("teacher.role is none: there is no teacher to test")
        return
    test = read_conversations(Path("data/test/conversations.parquet"))
    task = read_task(Path("data/split/task.json"))
    write_rows(TEACHER / "teacher.parquet", PREDICTIONS, answer(test, task))
    turns = read_turns(TEACHER / "teacher.parquet", test)
    # Without the judge's requests, which the stage judge repeats and counts as its own.
    usage = models.usage()
    judge, judged_by = choose(params.judge, models, "teacher, judge", params.today)
    verdicts = judge(turns, task)
    rows = verdict_rows(turns, verdicts, judged_by)
    write_rows(TEACHER / "verdicts" / "teacher.parquet", VERDICTS, rows)
    judged = [row | {"judge": float(row["good"])} for row in rows if row["good"] is not None]
    if not judged:
        raise InputError(f"{TEACHER}/verdicts: no turn has a verdict; the column `reason` says why")
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
    write_json(TEACHER / "summary.json", summary)
    print(f"teacher {params.teacher.model}: judge {score.mean:.3f} on {len(judged)} turns")


if __name__ == "__main__":
    main()
