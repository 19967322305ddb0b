"""Fine-tune a student with LoRA on the conversations of one cell, with one training seed.

Reads data/PIPELINE/SCENARIO/train.parquet, data/split/task.json, the student's base, and
data/teacher/summary.json, because students of a teacher that scores too low are not trained. Writes
models/adapters/SCENARIO-PIPELINE-SEED and reports/loss/SCENARIO-PIPELINE-SEED.csv. A killed run
resumes from its last checkpoint in TFT_CACHE. Cells with equal conversations share one training.

    python stages/finetune.py noisy_labels direct 123
"""

import shutil
from pathlib import Path

from tft.config import Params, load_params
from tft.core.config import cache_folder
from tft.core.stage import Time, stage
from tft.core.tables import read_conversations
from tft.core.task import read_task
from tft.predict.gate import check_teacher
from tft.student.encode import encode
from tft.student.finetune import finetune_once
from tft.student.template import load_tokenizer


@stage(load_params)
def main(params: Params, scenario: str, pipeline: str, seed: int) -> Time:
    """See the module's docstring."""
    params.scenario(scenario)
    check_teacher(Path("data/teacher/summary.json"), params.teacher, pipeline)
    name = f"{scenario}-{pipeline}-{seed}"

    # --- data ---
    conversations = read_conversations(Path("data") / pipeline / scenario / "train.parquet")
    task = read_task(Path("data/split/task.json"))

    # --- model ---
    student = params.seeded(seed)
    tokenizer = load_tokenizer(student.base, student.template)
    encoded = [
        encode(tokenizer, task, conversation, student.max_length) for conversation in conversations
    ]
    tokens = sum(conversation.tokens for conversation in encoded)
    print(f"{name}: {len(encoded)} conversations, {tokens:,} tokens, nothing truncated")

    # --- training ---
    trained = finetune_once(encoded, student, tokenizer, cache_folder("finetune"))

    # --- save ---
    shutil.copytree(trained.adapter, Path("models/adapters") / name, dirs_exist_ok=True)
    Path("reports/loss").mkdir(parents=True, exist_ok=True)
    shutil.copy(trained.loss, Path("reports/loss") / f"{name}.csv")
    return trained.time


if __name__ == "__main__":
    main()
