"""Params of the experiment `robustness`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from tft.core.config import Section


class RobustnessConfig(Section):
    """Which of SGD-X's rewordings of the tools the students are shown."""

    variants: Annotated[list[Literal["v1", "v2", "v3", "v4", "v5"]], Field(min_length=1)]

    @field_validator("variants")
    @classmethod
    def _each_once(cls, variants: list[str]) -> list[str]:
        if len({*variants}) < len(variants):
            raise ValueError("a variant is repeated")
        return variants
