"""Params of the stages `predict` and `teacher`: who answers the held-out turns."""

from __future__ import annotations

from typing import Literal

from tft.core.config import Count, Fraction, Section


class PredictConfig(Section):
    """What decodes, and the upper bound on the length of an answer, in tokens."""

    backend: Literal["vllm", "transformers"]
    max_new_tokens: Count


class TeacherConfig(Section):
    """Who answers the held-out turns as the teacher, and its minimum score for having students."""

    role: Literal["none", "llm"]
    model: str
    max_tokens: Count
    min_score: Fraction
    train_anyway: bool
