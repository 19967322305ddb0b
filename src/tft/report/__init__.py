"""Writes the results as a table and as a page."""
