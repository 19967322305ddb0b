"""Params of your own traces: where they are, in which format, and what is redacted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tft.core.config import Count, Fraction, Section


class RedactConfig(Section):
    """What counts as personal in your own traces, and becomes a placeholder on import."""

    entities: list[Literal["EMAIL", "PHONE", "CARD", "IBAN", "SSN", "KEY", "PERSON"]]
    regions: list[str]
    names: list[str]
    fields: dict[str, Annotated[str, Field(pattern="^[A-Z][A-Z_]*$")]]


class TracesConfig(Section):
    """Where your own traces are, in which format, and which of them are used."""

    path: str
    format: Literal["auto", "openai", "anthropic", "langfuse", "otel", "published"]
    max_refused: Fraction
    max_characters: Count
    test_fraction: Annotated[float, Field(gt=0, lt=1)]
    redact: RedactConfig
