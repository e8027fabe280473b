"""Rows of other databases, one by one, and their way into a collection."""
