"""Give every predicted turn a verdict, good or bad, with its reason.

Reads data/test/conversations.parquet, data/split/task.json, data/predictions, and data/teacher.
Writes data/verdicts: NAME.parquet for every student, policy, and teacher, and summary.json.

    python stages/judge.py
"""

from pathlib import Path

from tft.config import Params, load_params
from tft.core.stage import stage
from tft.core.tables import VERDICTS, read_conversations, read_turns, write_json, write_rows
from tft.core.task import read_task
from tft.evaluation.agreement import judges_agreement
from tft.judge.choose import choose
from tft.judge.verdicts import count_verdicts, prediction_files, verdict_rows
from tft.llm import connect

VERDICT_FOLDER = Path("data/verdicts")


@stage(load_params)
def main(params: Params) -> None:
    """See the module's docstring."""
    models = connect(params.llm)
    judge, judged_by = choose(params.judge, models, "judge", params.today)
    test = read_conversations(Path("data/test/conversations.parquet"))
    task = read_task(Path("data/split/task.json"))
    cells, all_verdicts = {}, []
    for path in prediction_files(Path("data")):
        turns = read_turns(path, test)
        verdicts = judge(turns, task)
        write_rows(VERDICT_FOLDER / path.name, VERDICTS, verdict_rows(turns, verdicts, judged_by))
        counts = cells[path.stem] = count_verdicts(verdicts)
        all_verdicts += verdicts
        bad = counts["bad"]
        by_count = sorted(bad, key=lambda reason: -bad[reason])
        listed = ", ".join(f"{reason} {bad[reason]}" for reason in by_count)
        print(f"{path.stem}: {len(turns)} turns, {sum(bad.values())} bad ({listed or 'none'})")
    summary = {"judged_by": judged_by, "judges": judges_agreement(all_verdicts), "cells": cells}
    write_json(VERDICT_FOLDER / "summary.json", summary | models.usage())


if __name__ == "__main__":
    main()
