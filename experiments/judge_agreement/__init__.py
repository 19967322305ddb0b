"""Experiment: how often the judge agrees with published verdicts."""
