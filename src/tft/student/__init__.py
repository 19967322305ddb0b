"""The small model: its chat template, the encoding of conversations, and training."""
