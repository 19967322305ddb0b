"""The corpora: where the benchmark's conversations come from."""
