"""Generates new conversations from relabeled traces: plans, prompts, and validation."""
