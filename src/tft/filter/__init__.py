"""Scores traces for relevance and coherence, and keeps those that reach the minimums."""
