"""What a backup reads: a data directory, its server running or not."""
