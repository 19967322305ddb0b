"""The same students shown the same tools under other names."""
