"""The archive format: its only reader and its only writer."""
