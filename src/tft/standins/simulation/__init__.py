"""Service dialogues simulated by a goal-driven user, an agent policy, and invented back ends."""
