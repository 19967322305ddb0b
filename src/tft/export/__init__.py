"""What users take away: a student with its model card, and the data it was trained on."""
