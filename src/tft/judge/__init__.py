"""Gives every predicted turn a verdict, good or bad."""
