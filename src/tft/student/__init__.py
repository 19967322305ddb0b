"""The small model: its chat template, how conversations become tokens, training, prediction."""
