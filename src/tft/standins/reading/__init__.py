"""How the stand-ins read traces: values, votes, phrases, and speech."""
