"""Which backups there are, how they continue each other, which stay."""
