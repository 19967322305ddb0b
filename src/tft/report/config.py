"""Params of the stage `report`."""

from __future__ import annotations

from tft.core.config import Section


class ReportConfig(Section):
    """What metrics/headline.json holds."""

    pipeline: str
