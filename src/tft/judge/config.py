"""Params of the stage `judge`."""

from __future__ import annotations

from datetime import date
from typing import Literal

from tft.core.config import Count, Names, Section


class JudgeConfig(Section):
    """Who gives verdicts, and the date of a benchmark's conversations (see `Params.today`)."""

    role: Literal["rules", "llm"]
    models: Names
    max_tokens: Count
    today: date | None
