"""What every room builds on: records, tables, errors, and the frame of a stage script."""
