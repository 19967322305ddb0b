"""The ground: records, tables, errors, what every stage shares."""
