"""Requests to language models: one `Chat` type, two back ends, one cache, one ledger."""

from tft.llm.connection import Connection, connect

__all__ = ["Connection", "connect"]
