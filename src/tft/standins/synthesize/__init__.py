"""The synthesizer without a language model."""
