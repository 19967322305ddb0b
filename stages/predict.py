"""Let the untuned base and every fine-tuned student answer every held-out turn, greedily.

Reads data/split/test.parquet, data/split/task.json, models/base, models/adapters. Writes
data/predictions/STUDENT.parquet, where STUDENT is SCENARIO-PIPELINE-SEED, or "base" for the untuned
one. Answers of adapters that did not change come from TFT_CACHE.

    python stages/predict.py
"""

from pathlib import Path

import click

from tft.params import environment, load_params
from tft.student.predict import adapters_of, predict, prompts
from tft.student.template import load_tokenizer
from tft.tables import PREDICTIONS, read_conversations, write_rows
from tft.task import read_task
from tft.timing import timed


@click.command(help=__doc__)
def main() -> None:
    """See the module's docstring."""
    params = load_params()
    student = params.students[params.student]
    task = read_task(Path("data/split/task.json"))
    tests = read_conversations(Path("data/split/test.parquet"))
    tokenizer = load_tokenizer(student.base, student.template)
    room = student.max_length - params.predict.max_new_tokens
    asked = prompts(tokenizer, task, tests, room)
    adapters = adapters_of(params.scenarios, params.pipelines, params.seeds)
    cache = Path(environment("TFT_CACHE", ".cache")) / "predictions"
    answers = predict(student, tokenizer, asked, adapters, params.predict, cache)
    for name, rows in answers.items():
        write_rows(Path("data/predictions") / f"{name}.parquet", PREDICTIONS, rows)


if __name__ == "__main__":
    timed(main)
