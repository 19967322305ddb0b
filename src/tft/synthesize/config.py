"""Params of the stage `synthesize`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tft.core.config import Count, Fraction, Names, Section, Temperature


class ValidationConfig(Section):
    """What a generated conversation must satisfy. Similarities go from 0 to 1, which is equal."""

    max_characters: Count
    max_similarity_to_seeds: Fraction
    max_similarity_among: Fraction
    max_similarity_to_tests: Fraction


class SynthesizeConfig(Section):
    """Who generates conversations, from what, and how many."""

    role: Literal["rules", "llm"]
    model: str
    temperature: Temperature
    max_tokens: Count
    seed_conversations: dict[str, Count]
    exemplars: Count
    context: Annotated[int, Field(ge=0)]
    target: Count
    batch: Count
    rounds: Count
    mutations: dict[str, Names]
    validation: ValidationConfig
