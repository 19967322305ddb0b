"""Fine-tune a student on one cell's conversations with LoRA, from one training seed.

Reads data/PIPELINE/SCENARIO/train.parquet, data/split/task.json, the student's base and
metrics/teacher.json: students of a teacher that scores too low itself are not trained. Writes
models/adapters/SCENARIO-PIPELINE-SEED and reports/loss/SCENARIO-PIPELINE-SEED.csv. A killed run
goes on from its last checkpoint in TFT_CACHE; cells whose conversations are the same share one
training.

    python stages/finetune.py noisy_labels direct 123
"""

import shutil
from pathlib import Path

import click

from tft.params import MAX_SEED, environment, load_params
from tft.student.encode import encode
from tft.student.gate import check_teacher
from tft.student.template import load_tokenizer
from tft.student.train import finetune_once
from tft.tables import read_conversations, write_text
from tft.task import read_task
from tft.timing import TIMES, note


@click.command(help=__doc__)
@click.argument("scenario")
@click.argument("pipeline")
@click.argument("seed", type=click.IntRange(0, MAX_SEED))
def main(scenario: str, pipeline: str, seed: int) -> None:
    """See the module's docstring."""
    params = load_params()
    params.scenario(scenario)  # an unknown name fails before any reading
    check_teacher(Path("metrics/teacher.json"), params.teacher, pipeline)
    student = params.students[params.student].seeded(seed)
    name = f"{scenario}-{pipeline}-{seed}"
    conversations = read_conversations(Path("data") / pipeline / scenario / "train.parquet")
    task = read_task(Path("data/split/task.json"))
    tokenizer = load_tokenizer(student.base, student.template)
    encoded = [encode(tokenizer, task, one, student.max_length) for one in conversations]
    tokens = sum(one.tokens for one in encoded)
    print(f"{name}: {len(encoded)} conversations, {tokens:,} tokens, nothing truncated")

    cache = Path(environment("TFT_CACHE", ".cache")) / "finetune"
    known = set(cache.glob("*/result"))
    trained = finetune_once(encoded, student, tokenizer, cache)
    # The time stays beside what it was needed for: taken from the cache a training takes none.
    times = trained.with_name("time.json")
    if trained not in known:
        note(times)
    TIMES.mkdir(parents=True, exist_ok=True)
    (TIMES / f"finetune@{name}.json").unlink(missing_ok=True)
    if times.exists():
        shutil.copy(times, TIMES / f"finetune@{name}.json")
    shutil.copytree(trained / "adapter", Path("models/adapters") / name, dirs_exist_ok=True)
    loss = (trained / "loss.csv").read_text(encoding="utf-8")
    write_text(Path("reports/loss") / f"{name}.csv", loss)


if __name__ == "__main__":
    main()
