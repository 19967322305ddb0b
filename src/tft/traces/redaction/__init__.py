"""Replaces personal data in logs by placeholders."""
