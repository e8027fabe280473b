"""An engine over a directory that another process writes, or that nobody writes now."""
