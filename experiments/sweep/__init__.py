"""Scores over the dose of a scenario."""
