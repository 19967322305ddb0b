"""Let the untuned base, every student, and every policy answer each held-out turn.

This is one stage for all students, because all adapters share one engine. Earlier answers come from
TFT_CACHE, so only students whose adapters changed decode again.

Reads data/test/conversations.parquet, data/split/task.json, the student's base, models/adapters,
and, for the policies, the traces of the first scenario, data/direct/SCENARIO/train.parquet. Writes
data/predictions/students/NAME.parquet and data/predictions/policies/NAME.parquet.

    python stages/predict.py
"""

from pathlib import Path

from tft.config import Params, load_params
from tft.core.config import cache_folder
from tft.core.stage import stage
from tft.core.tables import PREDICTIONS, read_conversations, write_rows
from tft.core.task import read_task
from tft.predict.policies import answer_turns, policies
from tft.predict.students import adapters_of, predict, prompts
from tft.student.template import load_tokenizer

PREDICTED = Path("data/predictions")


@stage(load_params)
def main(params: Params) -> None:
    """See the module's docstring."""
    task = read_task(Path("data/split/task.json"))
    tests = read_conversations(Path("data/test/conversations.parquet"))

    # --- baseline policies ---
    traces = read_conversations(Path("data/direct") / params.run[0] / "train.parquet")
    for name, policy in policies(traces).items():
        path = PREDICTED / "policies" / f"{name}.parquet"
        write_rows(path, PREDICTIONS, answer_turns(policy, tests))

    # --- students ---
    student = params.students[params.student]
    tokenizer = load_tokenizer(student.base, student.template)
    prompt_budget = student.max_length - params.predict.max_new_tokens
    turn_prompts = prompts(tokenizer, task, tests, prompt_budget)
    adapters = adapters_of(params.run, params.pipelines, params.training_seeds)
    cache = cache_folder("predictions")
    answers = predict(student, tokenizer, turn_prompts, adapters, params.predict, cache)
    for name, rows in answers.items():
        write_rows(PREDICTED / "students" / f"{name}.parquet", PREDICTIONS, rows)


if __name__ == "__main__":
    main()
