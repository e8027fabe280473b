"""Parts of the kyrodb_backup command."""
