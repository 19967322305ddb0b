"""Show the same students the same tools under other names, and see what becomes of their scores.

Reads data/split/test.parquet, data/split/task.json, models/base, models/adapters,
metrics/cells/*.json and, of the SGD archive (TFT_SGD_ARCHIVE names another place), the rewordings
that robustness.variants names. Writes data/robustness/VARIANT: the task and the conversations as
students are shown them, every CELL's predictions (back in the original names) and their scores.
Sums up in metrics/robustness.json, which is empty where params name no variant.

    python stages/robustness.py
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from tft.conversation import ToolCall
from tft.corpus.sgdx import Rewording, original, read_rewordings, reword
from tft.evaluation.robustness import robustness
from tft.evaluation.tool_calls import score
from tft.params import environment, load_params
from tft.report.table import both, of_student, read_metrics
from tft.roles import judge_for, language_models
from tft.student.predict import adapters_of, predict, prompts
from tft.student.template import load_tokenizer
from tft.tables import (
    PREDICTIONS,
    SCORES,
    read_conversations,
    read_turns,
    write_conversations,
    write_json,
    write_rows,
)
from tft.task import read_task, write_task
from tft.timing import timed

FOLDER = Path("data/robustness")
METRICS = Path("metrics/robustness.json")


@click.command(help=__doc__)
def main() -> None:
    """See the module's docstring."""
    params = load_params()
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not params.robustness.variants:
        write_json(METRICS, {})
        print("robustness.variants is empty: no student is asked again")
        return
    archive = environment("TFT_SGD_ARCHIVE", params.sgd.archive)
    rewordings = read_rewordings(archive, params.sgd, params.robustness.variants)
    task = read_task(Path("data/split/task.json"))
    tests = read_conversations(Path("data/split/test.parquet"))
    student = params.students[params.student]
    tokenizer = load_tokenizer(student.base, student.template)
    room = student.max_length - params.predict.max_new_tokens
    asked = []  # of all variants at once, because they share one engine; ids tell them apart
    for rewording in rewordings:
        shown = [reword(conversation, rewording) for conversation in tests]
        write_task(FOLDER / rewording.variant / "task.json", rewording.task)
        write_conversations(FOLDER / rewording.variant / "test.parquet", shown)
        asked += [
            prompt._replace(conversation=f"{rewording.variant}/{prompt.conversation}")
            for prompt in prompts(tokenizer, rewording.task, shown, room)
        ]
    # Of students that differ in the training seed alone, the first seed's.
    seed = params.seeds[0]
    adapters = adapters_of(params.scenarios, params.pipelines, [seed])
    adapters = {name.removesuffix(f"-{seed}"): one for name, one in adapters.items()}
    cache = Path(environment("TFT_CACHE", ".cache")) / "predictions"
    answers = predict(student, tokenizer, asked, adapters, params.predict, cache)

    models = language_models(params)
    judge, judged_by = judge_for(params, models, "robustness", params.judge.today)
    scores = {cell: {} for cell in adapters}
    for cell, rows in answers.items():
        for rewording in rewordings:
            path = FOLDER / rewording.variant / "predictions" / f"{cell}.parquet"
            write_rows(path, PREDICTIONS, in_original_names(rows, rewording))
            turns = read_turns(path, tests)
            found = scores[cell][rewording.variant] = [
                {
                    **score(turn, task),
                    "judge": None if verdict.good is None else float(verdict.good),
                }
                for turn, verdict in zip(turns, judge(turns, task), strict=True)
            ]
            judged = [row for row in found if row["judge"] is not None]
            write_rows(FOLDER / rewording.variant / "scores" / f"{cell}.parquet", SCORES, judged)
    originals = {}
    for cell in adapters:
        metrics = read_metrics(Path("metrics/cells") / f"{cell}.json", "score")
        originals[cell] = of_student(metrics, f"{cell}-{seed}")  # a cell's own are means over seeds
    compared = list(params.scenarios) if both(params.pipelines) else []
    summary = robustness(originals, scores, compared)
    write_json(METRICS, {"judged_by": judged_by, "seed": seed, **summary, **models.usage()})
    for cell, one in summary["cells"].items():
        before, after = one["original"]["judge"], one["reworded"]["judge"]
        print(f"{cell}: judge {before:.3f}, under other names {after:.3f}")


def in_original_names(
    rows: Iterable[dict[str, Any]], rewording: Rewording
) -> Iterator[dict[str, Any]]:
    """Those of the rows of predictions that answer a rewording, for the tests as they were."""
    for row in rows:
        variant, _, conversation = row["conversation"].partition("/")
        if variant == rewording.variant:
            named = {}
            if row["name"] is not None:
                said = ToolCall(row["name"], json.loads(row["arguments"]))
                call = original(said, rewording)
                named = {"name": call.name, "arguments": call.arguments_json}
            yield {**row, "conversation": conversation, **named}


if __name__ == "__main__":
    timed(main)
