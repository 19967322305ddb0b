"""Deterministic experts behind the roles that a language model plays at full scale."""
