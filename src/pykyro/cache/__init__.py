"""Caches: of whole answers (query_cache) and of documents (document_cache). They know no tiers and no files."""
