"""kyrodb_load_tester: a load of searches at a fixed rate, and what its clients saw."""
