"""Packages what users take away: weights with a model card, and data sets."""
