"""Experiment: show the same students the same tools under other names."""
