"""The stand-in for a language model as judge."""
