"""Backups: archives that restore to any position of the log. Stands on `storage` alone, never on the engine."""
