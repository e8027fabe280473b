"""Metadata search: which rows match a filter."""
