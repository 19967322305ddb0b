"""Compares predictions with references: tool-call metrics, intervals, tests, and audits."""
