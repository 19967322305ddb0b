"""A user's own logs, in whatever form, as conversations."""
