"""Which traces fit the task and are coherent."""
