"""Asking large language models: one `Chat`, two back ends, one cache, one ledger."""

from tft.llm.connection import Connection, connect

__all__ = ["Connection", "connect"]
