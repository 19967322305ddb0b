"""Deterministic stand-ins for language models, under the names of the rooms that use them."""
