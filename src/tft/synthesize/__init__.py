"""New conversations from relabeled ones: plans, prompts, validation."""
