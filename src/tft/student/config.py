"""Params of the students: a base model and how it is fine-tuned."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tft.core.config import Count, Fraction, Section, Seed


class LoraConfig(Section):
    """Low-rank adaptation of all linear layers, with the names of peft's `LoraConfig`."""

    r: Annotated[int, Field(ge=1, le=512)]  # vLLM serves up to 512
    lora_alpha: Annotated[float, Field(gt=0)]
    lora_dropout: Fraction


class TrainConfig(Section):
    """How to fine-tune, without the seed.

    `row_tokens` and `eval_fraction` are ours; the other names are those of `TrainingArguments`.
    """

    num_train_epochs: Count
    row_tokens: Count
    gradient_accumulation_steps: Count
    learning_rate: Annotated[float, Field(gt=0)]
    warmup_steps: Fraction  # a share of all steps, as TrainingArguments reads values below 1
    weight_decay: Annotated[float, Field(ge=0)]
    eval_fraction: Annotated[float, Field(ge=0, lt=1)]
    bf16: bool


class SeededTrainConfig(TrainConfig):
    """How to fine-tune, with the seed."""

    seed: Seed


class StudentConfig(Section):
    """A base model, and how it is fine-tuned, without the seed."""

    base: str
    template: Literal["unified", "stock"]
    max_length: Count
    lora: LoraConfig
    train: TrainConfig

    def seeded(self, seed: int) -> SeededStudentConfig:
        """The same with this training seed."""
        train = SeededTrainConfig(**{**dict(self.train), "seed": seed})
        return SeededStudentConfig(**{**dict(self), "train": train})


class SeededStudentConfig(StudentConfig):
    """A base model, and how it is fine-tuned, with the seed."""

    train: SeededTrainConfig
