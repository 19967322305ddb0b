"""Show the same students the same tools under other names, and compare their scores.

Reads the outputs of a run with `corpus: sgd` (data/test, data/split/task.json, models/adapters,
data/scores/cells) and, from the SGD archive (or TFT_SGD_ARCHIVE), the rewordings listed in
params.yaml beside this file. Writes experiments/robustness/scores: robustness.json and, in a folder
per variant, the reworded task and conversations, and the predictions of every cell, in the original
names, with their scores. `make robustness` copies robustness.json to
experiments/robustness/robustness.json, which table and page show.

    python -m experiments.robustness.run
"""

import json
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from experiments.robustness.config import RobustnessConfig
from experiments.robustness.sensitivity import robustness
from tft.config import load_params
from tft.core.config import cache_folder, environment, read_config
from tft.core.conversation import ToolCall
from tft.core.errors import InputError
from tft.core.stage import stage
from tft.core.tables import (
    PREDICTIONS,
    SCORES,
    read_conversations,
    read_turns,
    write_conversations,
    write_json,
    write_rows,
)
from tft.core.task import read_task, write_task
from tft.corpus.sgdx import Rewording, original, read_rewordings, reword
from tft.evaluation.metrics import score
from tft.judge.choose import choose
from tft.llm import connect
from tft.predict.students import adapters_of, predict, prompts
from tft.report.table import both, of_student, read_metrics
from tft.student.template import load_tokenizer

HERE = Path("experiments/robustness")
OUTPUT = HERE / "scores"


@stage(partial(read_config, HERE / "params.yaml", RobustnessConfig))
def main(experiment: RobustnessConfig) -> None:
    """See the module's docstring."""
    params = load_params()
    if params.corpus != "sgd":
        raise InputError(
            f"params.yaml: corpus: {params.corpus}; SGD-X rewords only SGD's tools, so run "
            "`make run-sgd` first"
        )
    archive = environment("TFT_SGD_ARCHIVE", params.sgd.archive)
    rewordings = read_rewordings(archive, params.sgd, experiment.variants)
    task = read_task(Path("data/split/task.json"))
    tests = read_conversations(Path("data/test/conversations.parquet"))

    # --- prompts of all variants together, because they share one engine; ids name the variant ---
    student = params.students[params.student]
    tokenizer = load_tokenizer(student.base, student.template)
    room = student.max_length - params.predict.max_new_tokens
    turn_prompts = []
    for rewording in rewordings:
        reworded = [reword(conversation, rewording) for conversation in tests]
        write_task(OUTPUT / rewording.variant / "task.json", rewording.task)
        write_conversations(OUTPUT / rewording.variant / "test.parquet", reworded)
        turn_prompts += [
            prompt._replace(conversation=f"{rewording.variant}/{prompt.conversation}")
            for prompt in prompts(tokenizer, rewording.task, reworded, room)
        ]

    # --- answers of the first training seed's students ---
    seed = params.training_seeds[0]
    adapters = adapters_of(params.scenarios, params.pipelines, [seed])
    adapters = {name.removesuffix(f"-{seed}"): folder for name, folder in adapters.items()}
    cache = cache_folder("predictions")
    answers = predict(student, tokenizer, turn_prompts, adapters, params.predict, cache)

    # --- scores ---
    models = connect(params.llm)
    judge, judged_by = choose(params.judge, models, "robustness", params.judge.today)
    scores: dict[str, dict[str, Any]] = {cell: {} for cell in adapters}
    for cell, rows in answers.items():
        for rewording in rewordings:
            folder = OUTPUT / rewording.variant
            path = folder / "predictions" / f"{cell}.parquet"
            write_rows(path, PREDICTIONS, in_original_names(rows, rewording))
            turns = read_turns(path, tests)
            scored = scores[cell][rewording.variant] = [
                {
                    **score(turn, task),
                    "judge": None if verdict.good is None else float(verdict.good),
                }
                for turn, verdict in zip(turns, judge(turns, task), strict=True)
            ]
            judged = [row for row in scored if row["judge"] is not None]
            write_rows(folder / "scores" / f"{cell}.parquet", SCORES, judged)
    originals = {}
    for cell in adapters:
        metrics = read_metrics(Path(f"data/scores/cells/{cell}.json"), "score")
        originals[cell] = of_student(metrics, f"{cell}-{seed}")  # not the mean over seeds
    compared = list(params.scenarios) if both(params.pipelines) else []
    summary = robustness(originals, scores, compared)
    write_json(
        OUTPUT / "robustness.json",
        {"judged_by": judged_by, "seed": seed, **summary, **models.usage()},
    )
    for cell, measured in summary["cells"].items():
        before, after = measured["original"]["judge"], measured["reworded"]["judge"]
        print(f"{cell}: judge {before:.3f}, under other names {after:.3f}")


def in_original_names(
    rows: Iterable[dict[str, Any]], rewording: Rewording
) -> Iterator[dict[str, Any]]:
    """Yield the predictions for one rewording, with calls translated to the original names."""
    for row in rows:
        variant, _, conversation = row["conversation"].partition("/")
        if variant == rewording.variant:
            named = {}
            if row["name"] is not None:
                predicted = ToolCall(row["name"], json.loads(row["arguments"]))
                call = original(predicted, rewording)
                named = {"name": call.name, "arguments": call.arguments_json}
            yield {**row, "conversation": conversation, **named}


if __name__ == "__main__":
    main()
