"""The memory of the process: one budget, and who holds how much of it."""
