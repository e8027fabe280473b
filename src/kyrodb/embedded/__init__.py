"""The database in the caller's own process: `kyrodb.open`."""
