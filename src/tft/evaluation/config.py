"""Params of the stage `audit`."""

from __future__ import annotations

from tft.core.config import Fraction, Section


class AuditConfig(Section):
    """The greatest similarity between a training and a test conversation; 1 means equal."""

    max_similarity: Fraction
    max_similarity_without_calls: Fraction
