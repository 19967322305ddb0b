"""Experiment: make the tiny base model."""
