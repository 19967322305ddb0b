"""Deterministic stand-ins for language models, each named after the room that uses it."""
