"""What the stand-ins read out of traces: values, votes, phrases, speech."""
