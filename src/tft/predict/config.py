"""Params of the stages `predict` and `teacher`: who answers the held-out turns."""

from __future__ import annotations

from typing import Literal

from tft.core.config import Count, Fraction, Section


class PredictConfig(Section):
    """Who decodes, and how far."""

    backend: Literal["vllm", "transformers"]
    max_new_tokens: Count


class TeacherConfig(Section):
    """Who answers held-out turns as the students' teacher, and how well it must to have any."""

    role: Literal["none", "llm"]
    model: str
    max_tokens: Count
    min_score: Fraction
    train_anyway: bool
