"""Moving documents out of a database and into one: export and import as Parquet, JSONL and npy."""
