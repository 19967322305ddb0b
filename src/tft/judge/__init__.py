"""Verdicts, good or bad, on predicted turns."""
