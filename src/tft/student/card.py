"""Model cards: what a model was made from, how, and with what licence."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from transformers import AutoConfig

from tft.params import Params, Student
from tft.student.encode import Encoded
from tft.tables import write_text

SGD_LICENCE = (
    "Trained on the Schema-Guided Dialogue dataset (Rastogi et al. 2020, "
    "https://github.com/google-research-datasets/dstc8-schema-guided-dialogue), licensed CC BY-SA "
    "4.0; the weights are given under the same licence."
)


def write_base_card(
    folder: Path, params: Params, dialogues: Mapping[str, int], loss: float
) -> None:
    """Write the tiny base's README.md; `dialogues` counts them per service, `loss` is in nats."""
    settings = params.pretrain
    config = AutoConfig.from_pretrained(folder)
    paragraphs = [
        f"A {config.model_type} of {config.num_hidden_layers} layers, hidden size "
        f"{config.hidden_size} and {config.vocab_size:,} tokens, with its own byte-level BPE "
        "tokenizer and chat template: small enough to be fine-tuned on two CPU cores in minutes. "
        "It stands in for a real base such as Qwen/Qwen3-1.7B when the pipeline is tried, and is "
        "of no use as a general language model.",
        f"Made by `stages/pretrain.py` from {sum(dialogues.values()):,} single-domain dialogues of "
        f"{len(dialogues)} services of SGD (commit {params.sgd.commit}), without the benchmark's: "
        f"{', '.join(settings.exclude)}. Slot values are replaced by other real ones or by "
        "invented words, anew each time a dialogue is drawn, and copying is taught on random spans "
        f"that come again. {settings.steps:,} steps of about {settings.row_tokens:,} tokens; loss "
        f"over the last tenth {loss:.3f} nats a token. All settings: `pretrain` in params.yaml.",
        SGD_LICENCE,
        f"Services: {', '.join(dialogues)}.",
    ]
    _write(folder, "cc-by-sa-4.0", "TFT tiny base", paragraphs)


def write_student_card(
    folder: Path,
    cell: str,
    params: Params,
    encoded: Sequence[Encoded],
    history: Sequence[Mapping[str, Any]],
) -> None:
    """Write a fine-tuned student's README.md with the numbers of its own run."""
    student: Student = params.students[params.student]
    turns = sum(len(one.targets) + len(one.branches) for one in encoded)
    losses = {row["split"]: row["loss"] for row in history}
    training = student.train.model_dump() | student.lora.model_dump()
    paragraphs = [
        f"`{student.base}`, LoRA-tuned on the traces of scenario-pipeline `{cell}` of corpus "
        f"`{params.corpus}`: {len(encoded):,} conversations with {turns:,} assistant turns, each a "
        f"tool call. `adapter/` holds the LoRA weights, `merged/` the model as a whole (bf16).",
        f"Template: `{student.template}`. Settings: "
        + ", ".join(f"{key} {value}" for key, value in training.items())
        + ".",
        "Last loss in nats a target token: "
        + ", ".join(f"{split} {loss:.4f}" for split, loss in losses.items())
        + f". Scores on the held-out turns: `metrics/cells/{cell}.json`.",
        SGD_LICENCE,
    ]
    _write(folder, "cc-by-sa-4.0", f"TFT student {cell}", paragraphs)


def _write(folder: Path, licence: str, title: str, paragraphs: Sequence[str]) -> None:
    header = f"---\nlicense: {licence}\nlibrary_name: transformers\n---\n# {title}\n"
    text = "\n\n".join(
        fill(paragraph, 100, break_long_words=False, break_on_hyphens=False)
        for paragraph in paragraphs
    )
    write_text(folder / "README.md", f"{header}\n{text}\n")
