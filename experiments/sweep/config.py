"""Params of the experiment `sweep`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from tft.core.config import Section

Doses = Annotated[list[int | float], Field(min_length=2)]


class SweepConfig(Section):
    """For each scenario, the params that change together, each with one value per experiment."""

    scenarios: dict[str, Annotated[dict[str, Doses], Field(min_length=1)]]

    @field_validator("scenarios")
    @classmethod
    def _lists_are_of_one_length(
        cls, scenarios: dict[str, dict[str, list[int | float]]]
    ) -> dict[str, dict[str, list[int | float]]]:
        for name, swept in scenarios.items():
            if len({len(doses) for doses in swept.values()}) > 1:
                raise ValueError(f"{name}: the lists of the params have different lengths")
        return scenarios
