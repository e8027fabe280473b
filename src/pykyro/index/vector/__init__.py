"""Vector search: exact scan, HNSW graph over codes, and the choice between them."""
