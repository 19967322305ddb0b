"""Params of the stage `relabel`."""

from __future__ import annotations

from typing import Literal

from tft.core.config import Count, Names, Section, Temperature


class RelabelConfig(Section):
    """Who relabels traces: the committee, and the arbiter where its members disagree."""

    role: Literal["rules", "llm"]
    committee: Names
    arbiter: str
    temperature: Temperature
    max_tokens: Count
