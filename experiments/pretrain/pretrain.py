"""Pretraining of the tiny base, on copying and on dialogues of many services with new values."""

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch.utils.data import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from experiments.pretrain.base import random_model, train_tokenizer, wire_copying
from experiments.pretrain.config import PretrainConfig
from experiments.pretrain.copying import add_copying
from experiments.pretrain.muon import MuonAdamW
from tft.core.conversation import Conversation, render_call
from tft.core.task import Task
from tft.core.versions import fingerprint
from tft.student.attention import SEGMENTS
from tft.student.checkpoint import load_model
from tft.student.finetune import fit, training_arguments
from tft.student.pack import Row
from tft.student.template import END_OF_TURN, load_tokenizer, render

TOKENIZER_SAMPLE = 3000  # conversations; with 4,096 tokens, more change no merge that matters

Draw = Callable[[str, random.Random], Conversation]
"""Draws a new conversation of a service, given by name, with the given source of randomness."""


class PretrainingRows(Dataset[Row]):
    """Training rows. Row i depends only on the seed and i, so that a killed run can resume."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        tasks: Mapping[str, Task],
        weights: Mapping[str, int],
        draw: Draw,
        params: PretrainConfig,
    ) -> None:
        """Prepare the prompt of each service; rows are drawn from services by `weights`."""
        self.tokenizer, self.tasks, self.draw, self.params = tokenizer, tasks, draw, params
        self.services, self.weights = list(weights), list(weights.values())
        self.prefixes = {
            service: self._ids(render(tokenizer, task, [], prompt=False))
            for service, task in tasks.items()
        }

    def __len__(self) -> int:
        """The number of steps of the whole run."""
        return self.params.steps

    def __getitem__(self, index: int) -> Row:
        """The row of step `index`."""
        rng = random.Random(f"{self.params.seed}/{index}")
        copying = index < self.params.copy_steps or rng.random() < self.params.copy_share
        return self._copying_row(index, rng) if copying else self._dialogue_row(rng)

    def _copying_row(self, index: int, rng: random.Random) -> Row:
        shortest, longest = self.params.copy_lengths
        progress = max(0, index - self.params.copy_steps) / self.params.steps
        if self.params.start:  # this model copies already
            progress = 1.0
        words = range(len(self.tokenizer.all_special_tokens), len(self.tokenizer))
        row = Row()
        while len(row.ids) < self.params.row_tokens:
            length = round(shortest * (longest / shortest) ** (progress * rng.random()))
            add_copying(row, length, words, rng)
        return row

    def _dialogue_row(self, rng: random.Random) -> Row:
        service = rng.choices(self.services, self.weights)[0]
        prefix = self.prefixes[service]
        row = Row()
        row.add(prefix, 0, [])
        while len(row.ids) < self.params.row_tokens:
            conversation = self.draw(service, rng)
            text = render(self.tokenizer, self.tasks[service], conversation.messages, prompt=False)
            ids = self._ids(text)[len(prefix) :]
            start = row.add(ids, len(prefix), [(0, len(prefix))])
            self._add_targets(row, start, conversation)
        return row

    def _add_targets(self, row: Row, start: int, conversation: Conversation) -> None:
        """Train on assistant turns only, as in fine-tuning, which helps at this size (docs/log)."""
        opening = self._ids("<|im_start|>")[0]
        begins = [i for i in range(start, len(row.ids)) if row.ids[i] == opening]
        ends = [*begins[1:], len(row.ids)]
        for message, begin, end in zip(conversation.messages, begins, ends, strict=True):
            if message.role == "assistant":
                row.target(begin + 3, end - 1)  # after "<|im_start|>role\n", before the last "\n"

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids


def pretrain(
    tasks: Mapping[str, Task],
    weights: Mapping[str, int],
    draw: Draw,
    params: PretrainConfig,
    checkpoints: Path,
    output: Path,
) -> float:
    """Train the base, from random weights or from `params.start`, and write it in bf16.

    A killed run with the same params and data resumes from its last checkpoint in `checkpoints`.

    Returns:
        The mean training loss of the last tenth of the steps, in nats per target token.

    Raises:
        InputError: there is no model at `params.start`.
    """
    texts = _texts(tasks, weights, draw, params)
    run = f"{params!r} {texts!r} {fingerprint(params.start) if params.start else ''}"
    checkpoints /= hashlib.sha256(run.encode()).hexdigest()[:16]
    torch.manual_seed(params.seed)
    model: PreTrainedModel
    if params.start:
        tokenizer = load_tokenizer(params.start, "unified")
        model = load_model(params.start)
    else:
        tokenizer = train_tokenizer(texts, params.vocab_size)
        model = random_model(
            tokenizer,
            hidden_size=params.hidden_size,
            intermediate_size=params.intermediate_size,
            num_hidden_layers=params.num_hidden_layers,
            num_attention_heads=params.num_attention_heads,
            num_key_value_heads=params.num_key_value_heads,
            head_dim=params.head_dim,
            max_position_embeddings=params.max_position_embeddings,
        )
        wire_copying(model)
    model.set_attn_implementation(SEGMENTS)
    arguments = training_arguments(
        checkpoints,
        params.seed,
        params.bf16,
        save_steps=params.save_steps,
        learning_rate=params.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=params.warmup_fraction,
        logging_steps=max(1, params.steps // 150),
    )
    history = fit(
        model,
        PretrainingRows(tokenizer, tasks, weights, draw, params),
        arguments,
        optimizer=MuonAdamW(model, params.learning_rate, params.weight_decay),
    )
    model.to(torch.bfloat16).save_pretrained(output)
    tokenizer.save_pretrained(output)
    shutil.rmtree(checkpoints)
    losses = [entry["loss"] for entry in history if "loss" in entry]
    tail = losses[-max(1, len(losses) // 10) :]
    return sum(tail) / len(tail)


def _texts(
    tasks: Mapping[str, Task], weights: Mapping[str, int], draw: Draw, params: PretrainConfig
) -> list[str]:
    """The texts on which the tokenizer is trained: prompts and dialogues in the student's form."""
    rng = random.Random(f"{params.seed}/tokenizer")
    texts = [
        "\n".join([task.description, *(json.dumps(tool) for tool in task.tools_openai())])
        for task in tasks.values()
        for _ in range(10)
    ]
    for service in rng.choices(list(weights), list(weights.values()), k=TOKENIZER_SAMPLE):
        for message in draw(service, rng).messages:
            call = message.tool_call
            text = render_call(call) if call else f"<|im_start|>user\n{message.content}"
            texts.append(text + END_OF_TURN)
    return texts
