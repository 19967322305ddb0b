"""Params of your own traces: where they are, in which form, what is redacted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tft.core.config import Count, Fraction, Section


class RedactConfig(Section):
    """What is personal in your own traces and must not come out of the import."""

    entities: list[Literal["EMAIL", "PHONE", "CARD", "IBAN", "SSN", "KEY", "PERSON"]]
    regions: list[str]
    names: list[str]
    fields: dict[str, Annotated[str, Field(pattern="^[A-Z][A-Z_]*$")]]


class TracesConfig(Section):
    """Where your own traces are, in which form, and which of them are taken."""

    path: str
    format: Literal["auto", "openai", "anthropic", "langfuse", "otel", "published"]
    max_refused: Fraction
    max_characters: Count
    test_fraction: Annotated[float, Field(gt=0, lt=1)]
    redact: RedactConfig
