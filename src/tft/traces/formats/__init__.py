"""The formats of logs that can be read, one file each."""
