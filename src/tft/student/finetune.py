"""Fine-tuning: LoRA on all linear layers, on packed rows, with transformers' Trainer."""

import ast
import hashlib
import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase, Trainer, TrainingArguments

from tft.core.errors import InputError
from tft.core.stage import Time, elapsed
from tft.core.tables import csv_text, write_json, write_text
from tft.core.versions import fingerprint, version_of
from tft.student.checkpoint import load_model, save_adapter
from tft.student.config import SeededStudentConfig
from tft.student.encode import Encoded, shared_prefix
from tft.student.pack import IGNORED, Row, epochs, pack

# Code on which weights depend besides the encoded conversations; a change repeats all training.
TRAINING_CODE = ("attention.py", "checkpoint.py", "pack.py", "finetune.py")


def row_loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    """Cross-entropy summed over a row's targets, divided by the targets of all accumulated rows."""
    total = cross_entropy(outputs.logits.float().flatten(0, 1), labels.flatten(), reduction="sum")
    return total / (labels.ne(IGNORED).sum() if num_items_in_batch is None else num_items_in_batch)


def fit(
    model: torch.nn.Module,
    rows: Dataset[Row] | Sequence[Row],
    arguments: TrainingArguments,
    eval_rows: Sequence[Row] | None = None,
    optimizer: torch.optim.Optimizer | None = None,
) -> list[dict[str, Any]]:
    """Train on rows in order, resuming from the last checkpoint in `arguments.output_dir`.

    The optimizer is AdamW unless another one is given.

    Returns:
        The Trainer's log history.
    """
    trainer = Trainer(
        model,
        arguments,
        data_collator=lambda batch: batch[0].inputs(),
        train_dataset=rows,
        eval_dataset=eval_rows,
        compute_loss_func=row_loss,
        optimizers=(optimizer, None),
    )
    trainer.train(resume_from_checkpoint=_last_checkpoint(Path(str(arguments.output_dir))))
    history: list[dict[str, Any]] = trainer.state.log_history
    return history


def _last_checkpoint(folder: Path) -> str | None:
    """The newest complete checkpoint, which has a trainer state, because that is written last."""
    whole = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
    newest = max(whole, key=lambda path: int(path.name.split("-")[1]), default=None)
    return str(newest) if newest else None


def training_arguments(checkpoints: Path, seed: int, bf16: bool, **settings: Any) -> Any:
    """The arguments that all runs share: one row at a time, in the given order, resumable."""
    return TrainingArguments(
        output_dir=str(checkpoints),
        save_strategy="steps",
        save_total_limit=1,
        num_train_epochs=1,  # the rows contain all epochs
        train_sampling_strategy="sequential",
        per_device_train_batch_size=1,
        per_device_eval_batch_size=1,
        use_cpu=not torch.cuda.is_available(),
        bf16=bf16,
        remove_unused_columns=False,
        report_to="none",
        seed=seed,
        **settings,
    )


def lora_config(student: SeededStudentConfig) -> LoraConfig:
    """LoRA on all linear layers except the output head."""
    return LoraConfig(
        **student.lora.model_dump(), target_modules="all-linear", task_type="CAUSAL_LM"
    )


def adapted(student: SeededStudentConfig) -> PeftModel:
    """The student's base with a new adapter, initialized from the training seed."""
    torch.manual_seed(student.train.seed)
    return get_peft_model(load_model(student.base), lora_config(student))


def finetune(
    encoded: Sequence[Encoded],
    student: SeededStudentConfig,
    tokenizer: PreTrainedTokenizerBase,
    checkpoints: Path,
    output: Path,
) -> list[dict[str, Any]]:
    """Fine-tune the student's base with LoRA and write the adapter to `output`.

    A share `eval_fraction` of the conversations, drawn by the seed, is used for evaluation only.

    Returns:
        One row {step, split, loss} per logged training step and per evaluation.

    Raises:
        InputError: no conversation is left to train on.
    """
    settings = student.train
    train, held = _split(encoded, settings.eval_fraction, settings.seed)
    prefix = shared_prefix(encoded)
    rows = list(
        epochs(train, prefix, settings.row_tokens, settings.num_train_epochs, settings.seed)
    )
    eval_rows = list(pack(held, prefix, settings.row_tokens))
    steps = -(-len(rows) // settings.gradient_accumulation_steps)
    model = adapted(student)
    arguments = training_arguments(
        checkpoints,
        settings.seed,
        settings.bf16,
        save_steps=-(-steps // 4),
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        logging_steps=max(1, steps // 40),
        eval_strategy="steps" if held else "no",
        eval_steps=-(-steps // 4),
    )
    history = fit(model, rows, arguments, eval_rows or None)
    save_adapter(model, tokenizer, output)
    return [
        {"step": entry["step"], "split": split, "loss": round(entry[key], 6)}
        for entry in history
        for split, key in (("train", "loss"), ("eval", "eval_loss"))
        if key in entry
    ]


class Trained(NamedTuple):
    """The result of a training: the adapter folder, the loss curve (CSV), and the time taken."""

    adapter: Path
    loss: Path
    time: Time


def finetune_once(
    encoded: Sequence[Encoded],
    student: SeededStudentConfig,
    tokenizer: PreTrainedTokenizerBase,
    cache: Path,
) -> Trained:
    """`finetune`, unless the same training was done before.

    A training is identified by its conversations, settings, base, code, and libraries. Pipelines
    may have equal conversations: if the filter rejects nothing, `filtered` equals `direct`.

    Raises:
        InputError: no conversation is left to train on.
    """
    code = [_without_words(Path(__file__).with_name(name)) for name in TRAINING_CODE]
    libraries = [version_of(name) for name in ("torch", "transformers", "peft")]
    run = f"{student!r} {encoded!r} {fingerprint(student.base)} {code!r} {libraries!r}"
    folder = cache / hashlib.sha256(run.encode()).hexdigest()[:16]
    result = folder / "result"
    if result.is_dir():
        click.echo("trained before on the same conversations: taken from the cache")
    else:
        unfinished, checkpoints = folder / "unfinished", folder / "checkpoints"
        history = finetune(encoded, student, tokenizer, checkpoints, unfinished / "adapter")
        write_text(unfinished / "loss.csv", loss_csv(history))
        write_json(unfinished / "time.json", elapsed())
        unfinished.rename(result)
        shutil.rmtree(checkpoints)
    time = json.loads((result / "time.json").read_text(encoding="utf-8"))
    return Trained(result / "adapter", result / "loss.csv", time)


def _without_words(module: Path) -> str:
    """A module's code without comments and docstrings, whose rewording must not repeat training."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            del node.body[0]
    return ast.dump(tree)


def loss_csv(history: Sequence[dict[str, Any]]) -> str:
    """The loss curve as CSV, for `dvc plots`."""
    return csv_text(["step", "split", "loss"], history)


def _split(
    encoded: Sequence[Encoded], eval_fraction: float, seed: int
) -> tuple[list[Encoded], list[Encoded]]:
    """(training, evaluation), both in an order that the seed determines."""
    held = round(len(encoded) * eval_fraction)
    if held >= len(encoded):
        raise InputError(
            f"{len(encoded)} conversations leave none to train on at eval_fraction {eval_fraction}"
        )
    shuffled = random.Random(f"{seed}/evaluation").sample(encoded, len(encoded))
    return shuffled[held:], shuffled[:held]
