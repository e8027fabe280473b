"""Answers that are arranged: in groups, or of documents that are unlike one another."""
