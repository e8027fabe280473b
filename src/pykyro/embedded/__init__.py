"""The database in the caller's own process: `pykyro.open`."""
