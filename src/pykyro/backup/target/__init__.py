"""Where backups are kept: a directory or an object store."""
