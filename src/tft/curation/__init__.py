"""What TFT does with traces, by language models: score, relabel, generate, validate."""
