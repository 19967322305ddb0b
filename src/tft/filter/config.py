"""Params of the stage `filter`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tft.core.config import Count, Section


class Threshold(Section):
    """The minimum relevance and coherence, each from 1 to 5, that a trace needs to be kept."""

    min_relevance: Annotated[int, Field(ge=1, le=5)]
    min_coherence: Annotated[int, Field(ge=1, le=5)]

    def both(self) -> tuple[int, int]:
        """(relevance, coherence)."""
        return self.min_relevance, self.min_coherence


class FilterConfig(Section):
    """Who scores traces, and the minimum scores in each scenario."""

    role: Literal["rules", "llm"]
    model: str
    max_tokens: Count
    thresholds: dict[str, Threshold]
