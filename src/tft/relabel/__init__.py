"""Decides which call the agent should have made at every turn: a committee and its arbiter."""
