"""The input of a backup: a data directory, its server running or not."""
