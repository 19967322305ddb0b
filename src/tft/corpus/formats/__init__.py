"""How others log an agent's dialogues: one file a format, each to the same events."""
