"""How often the judge agrees with published verdicts."""
