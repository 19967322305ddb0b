"""Params of the scenarios: one class for each kind of damage."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

from pydantic import Field, field_validator

from tft.core.config import Count, Fraction, Names, Section


class Baseline(Section):
    """S1: the traces as they are."""

    kind: Literal["baseline"]
    source: str


class NoisyLabels(Section):
    """S2: wrong tools, wrong arguments, wrong messages."""

    kind: Literal["noisy_labels"]
    source: str
    message_source: str
    clean_fraction: Fraction
    corruption_rate: Fraction
    service_call: dict[Literal["swap_tool", "swap_params", "respond_instead"], Fraction]
    respond: dict[Literal["call_instead", "foreign_message"], Fraction]

    @field_validator("service_call", "respond")
    @classmethod
    def _shares_sum_to_one(cls, shares: dict[str, float]) -> dict[str, float]:
        if abs(sum(shares.values()) - 1) > 1e-6:
            raise ValueError("the shares must sum to 1")
        return shares


class SchemaDrift(Section):
    """S3: traces from versions of the agent whose tools had other names."""

    kind: Literal["schema_drift"]
    source: str
    traces: Count
    clean_fraction: Fraction
    tools: dict[str, Names]
    parameters: dict[str, Names]
    other_source: str
    other_traces: Count
    other_tools: dict[str, str]

    @field_validator("tools", "parameters")
    @classmethod
    def _names_are_distinct(cls, names: dict[str, list[str]]) -> dict[str, list[str]]:
        # If two parameters of a call got the same new name, one of the values would be lost.
        all_names = [*names, *itertools.chain.from_iterable(names.values())]
        repeated = {name for name in all_names if all_names.count(name) > 1}
        if repeated:
            raise ValueError(
                f"a name may occur here only once, but {sorted(repeated)} are repeated"
            )
        return names


class LowData(Section):
    """S4: a handful of traces."""

    kind: Literal["low_data"]
    source: str
    traces: Count


class TraceMixing(Section):
    """S5: mostly traces of another service, renamed and shuffled."""

    kind: Literal["trace_mixing"]
    source: str
    traces: Count
    other_source: str
    other_traces: Count
    other_tools: dict[str, str]


class Own(Section):
    """Your own traces, as they are."""

    kind: Literal["own"]


Scenario = Annotated[
    Baseline | NoisyLabels | SchemaDrift | LowData | TraceMixing | Own, Field(discriminator="kind")
]
