"""Measures predictions against references: tool-call metrics and their summaries."""
