"""Training from Traces: from logs of a tool-calling agent to a small model that does its job."""
