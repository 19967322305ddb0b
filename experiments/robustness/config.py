"""Params of the experiment `robustness`."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from tft.core.config import Section


class RobustnessConfig(Section):
    """Which of SGD-X's rewordings of the tools the students are shown."""

    variants: list[Literal["v1", "v2", "v3", "v4", "v5"]]

    @field_validator("variants")
    @classmethod
    def _each_once(cls, variants: list[str]) -> list[str]:
        if len({*variants}) < len(variants):
            raise ValueError("a variant is repeated")
        return variants
