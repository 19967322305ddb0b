"""Params of the stage `report`."""

from __future__ import annotations

from tft.core.config import Section


class ReportConfig(Section):
    """The pipeline whose scores are in metrics/headline.json."""

    pipeline: str
