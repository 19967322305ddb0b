"""The benchmarks' conversations."""
