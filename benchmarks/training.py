"""One epoch on S1's traces: ours (packed, each conversation once), compared with TRL's SFTTrainer.

Reads: data/direct/baseline/train.parquet, data/split/task.json, the student's base
Run:   python benchmarks/training.py [--conversations 40]      (needs the extra `bench`)

All use the same base in float32, LoRA, learning rate, and bf16 autocast. TRL has its defaults
(padded batches of 8), except that `max_length=None`, so that nothing is truncated, and that
gradient checkpointing is off, because it costs time and memory is not scarce here. TRL's packing is
not an option on a CPU, because it needs FlashAttention to separate conversations.

- turns: one example per turn, with prompt and completion, as in the publication's direct training
- conversations: whole conversations with `assistant_only_loss`, for which the template is marked

Before anything is timed, one step at learning rate 0 over a few conversations checks that all three
minimize the same loss over the same targets.
"""

import itertools
import json
import logging
import math
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import datasets
import torch
from measure import (
    interleaved,
    pack_epoch,
    ratio,
    seconds,
    seconds_of_trainer,
    setting,
    show,
    spread,
    train_packed,
)
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer

from tft.core.conversation import Conversation, render_call, to_openai
from tft.core.tables import read_conversations
from tft.core.task import Task
from tft.student.config import SeededStudentConfig
from tft.student.encode import encode
from tft.student.finetune import lora_config
from tft.student.pack import Row
from tft.student.template import END_OF_TURN, TEMPLATE, render

CHECKED = 4  # the number of conversations in the comparison of losses


def turn_examples(
    tokenizer: PreTrainedTokenizerBase, task: Task, conversations: Sequence[Conversation]
) -> list[dict[str, str]]:
    return [
        {
            "prompt": render(tokenizer, task, conversation.messages[:turn], prompt=True),
            "completion": render_call(call) + END_OF_TURN,
        }
        for conversation in conversations
        for turn, call in conversation.turns()
    ]


def conversation_examples(
    task: Task, conversations: Sequence[Conversation]
) -> list[dict[str, Any]]:
    """Messages in OpenAI's format; arguments are text, because `datasets` adds nulls to structs."""
    examples = []
    for conversation in conversations:
        messages = [
            {"role": "system", "content": task.description},
            *to_openai(conversation.messages),
        ]
        for message in messages:
            for call in message.get("tool_calls", []):
                function = call["function"]
                function["arguments"] = json.dumps(function["arguments"], ensure_ascii=False)
        examples.append({"messages": messages, "tools": json.dumps(task.tools_openai())})
    return examples


def marked_template() -> str:
    """Our template with marks around assistant messages, including the end of the turn."""
    head, tail = TEMPLATE.read_text(encoding="utf-8").split("{%- for message in dialogue -%}")
    for old, new in (
        ("{{- '<tool_call>", "{%- generation -%}{{- '<tool_call>"),
        ("</tool_call>' -}}", "</tool_call><|im_end|>' -}}{%- endgeneration -%}{{- '\\n' -}}"),
        ("{{- message.content -}}", "{{- message.content + '<|im_end|>\\n' -}}"),
        ("{{- '<|im_end|>\\n' -}}", ""),
    ):
        assert tail.count(old) == 1, f"the template changed: {old!r}"
        tail = tail.replace(old, new)
    return head + "{%- for message in dialogue -%}" + tail


def trl(
    examples: list[dict[str, Any]],
    student: SeededStudentConfig,
    tokenizer: PreTrainedTokenizerBase,
    **settings: Any,
) -> SFTTrainer:
    torch.manual_seed(student.train.seed)
    return SFTTrainer(
        AutoModelForCausalLM.from_pretrained(student.base, dtype=torch.float32),
        SFTConfig(
            **{
                "output_dir": tempfile.mkdtemp(prefix="trl-"),
                "max_length": None,
                "num_train_epochs": 1,
                "learning_rate": student.train.learning_rate,
                "lr_scheduler_type": "linear",
                "warmup_steps": student.train.warmup_steps,
                "weight_decay": student.train.weight_decay,
                "bf16": student.train.bf16,
                "gradient_checkpointing": False,
                "save_strategy": "no",
                "logging_steps": 1,
                "report_to": "none",
                "disable_tqdm": True,
                "use_cpu": not torch.cuda.is_available(),
                "seed": student.train.seed,
                **settings,
            }
        ),
        train_dataset=datasets.Dataset.from_list(examples),
        processing_class=tokenizer,
        peft_config=lora_config(student),
    )


def counts(trainer: SFTTrainer) -> tuple[int, int]:
    """(tokens without padding, target tokens) of an epoch."""
    data = trainer.train_dataset
    tokens = sum(map(len, data["input_ids"]))
    return tokens, sum(label != -100 for label in itertools.chain(*data["labels"]))


def first_loss(trainer: SFTTrainer) -> float:
    seconds_of_trainer(trainer.train)
    return trainer.state.log_history[0]["loss"]


@click.command(help=__doc__)
@click.option("--conversations", default=40, show_default=True, help="Number drawn from S1's 327.")
@click.option("--batch-size", default=8, show_default=True, help="TRL's batch size.")
@click.option("--repeats", default=3, show_default=True)
def main(conversations: int, batch_size: int, repeats: int) -> None:
    logging.getLogger("trl").setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    datasets.disable_caching()  # so that every new trainer tokenizes
    _, student, task, tokenizer = setting()
    traces = read_conversations(Path("data/direct/baseline/train.parquet"))
    chosen = random.Random(student.train.seed).sample(traces, min(conversations, len(traces)))
    marked = marked_template()

    def packed(some: Sequence[Conversation]) -> list[Row]:
        return pack_epoch(
            [encode(tokenizer, task, conversation, student.max_length) for conversation in some],
            student,
        )

    def peer(name: str, some: Sequence[Conversation], **settings: Any) -> SFTTrainer:
        settings = {"per_device_train_batch_size": batch_size} | settings
        if name == "turns":
            return trl(turn_examples(tokenizer, task, some), student, tokenizer, **settings)
        tokenizer.chat_template = marked
        return trl(conversation_examples(task, some), student, tokenizer,
                   assistant_only_loss=True, **settings)  # fmt: skip

    checked = chosen[:CHECKED]
    rows = packed(checked)
    losses = {"ours": train_packed(rows, student, 0.0, len(rows))[1]}
    targets = {"ours": sum(len(row.labels) for row in rows)}
    turns = sum(1 for conversation in checked for _ in conversation.turns())
    for name, examples in (("turns", turns), ("conversations", len(checked))):
        steps = math.ceil(examples / batch_size)
        trainer = peer(name, checked, learning_rate=0.0, gradient_accumulation_steps=steps)
        targets[name] = counts(trainer)[1]
        losses[name] = first_loss(trainer)
    show(
        f"The untrained student's loss over {CHECKED} conversations, nats per target token",
        ["", "loss", "targets"],
        [[name, f"{losses[name]:.4f}", targets[name]] for name in losses],
    )
    assert len(set(targets.values())) == 1, "they do not train on the same tokens"
    assert max(losses.values()) - min(losses.values()) < 0.02, "they do not minimize the same loss"

    sizes: dict[str, tuple[int, int, int]] = {}
    prepared: dict[str, list[float]] = {"ours": [], "turns": [], "conversations": []}

    def run_ours() -> float:
        rows: list[Row] = []
        prepared["ours"].append(seconds(lambda: rows.extend(packed(chosen))))
        tokens, labels = sum(len(row.ids) for row in rows), sum(len(row.labels) for row in rows)
        sizes["ours"] = tokens, labels, len(rows)
        return train_packed(rows, student, student.train.learning_rate, 1)[0]

    def run_peer(name: str) -> float:
        built: list[SFTTrainer] = []
        prepared[name].append(seconds(lambda: built.append(peer(name, chosen))))
        took = seconds_of_trainer(built[0].train)
        sizes[name] = *counts(built[0]), built[0].state.global_step
        return took

    times = interleaved(
        {
            "ours": run_ours,
            "turns": lambda: run_peer("turns"),
            "conversations": lambda: run_peer("conversations"),
        },
        repeats,
    )
    labels = {
        "ours": f"ours, rows of {student.train.row_tokens}",
        "turns": f"TRL, one example per turn, batches of {batch_size}",
        "conversations": f"TRL, whole conversations, batches of {batch_size}",
    }
    show(
        f"One epoch over {len(chosen)} of {len(traces)} S1 conversations",
        ["", "tokens", "targets", "steps", "preparing, s", "training, s", "relative to ours"],
        [
            [
                labels[name],
                *(f"{size:,}" for size in sizes[name]),
                spread(prepared[name]),
                spread(times[name]),
                ratio(times[name], times["ours"]),
            ]
            for name in times
        ],
    )


if __name__ == "__main__":
    main()
