"""The database of a process, opened as its configuration says."""
