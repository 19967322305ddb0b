"""Params of the experiment `pretrain`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tft.core.config import Count, Fraction, Names, Section


class PretrainConfig(Section):
    """How the tiny base is made."""

    start: str | None
    vocab_size: Count
    hidden_size: Count
    intermediate_size: Count
    num_hidden_layers: Count
    num_attention_heads: Count
    num_key_value_heads: Count
    head_dim: Count
    max_position_embeddings: Count
    exclude: Names
    row_tokens: Count
    steps: Count
    copy_steps: Annotated[int, Field(ge=0)]
    copy_share: Fraction
    # At least 33, because spans of up to 10 tokens are copied after a sequence's first third.
    copy_lengths: Annotated[list[Annotated[int, Field(ge=33)]], Field(min_length=2, max_length=2)]
    invented_share: Fraction
    learning_rate: Annotated[float, Field(gt=0)]
    warmup_fraction: Fraction
    weight_decay: Annotated[float, Field(ge=0)]
    save_steps: Count
    bf16: bool
    seed: int
