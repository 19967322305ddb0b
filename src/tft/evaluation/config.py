"""Params of the stage `audit`."""

from __future__ import annotations

from tft.core.config import Fraction, Section


class AuditConfig(Section):
    """How alike a training and a test conversation may be."""

    max_similarity: Fraction
    max_similarity_without_calls: Fraction
