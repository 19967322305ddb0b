"""Experiment: scores by the dose of a scenario's damage."""
