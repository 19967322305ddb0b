"""What a user takes away: weights with a model card, and data sets."""
