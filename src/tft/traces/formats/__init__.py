"""The forms of logs that are read, a file each."""
