"""Personal data in logs, replaced by placeholders."""
