"""Imports a user's own logs, in several formats, as conversations."""
