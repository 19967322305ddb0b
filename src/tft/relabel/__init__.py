"""What the agent should have called at every turn: a committee and its arbiter."""
