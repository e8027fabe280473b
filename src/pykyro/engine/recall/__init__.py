"""Recall measured while it is used, and ef moved by it."""
