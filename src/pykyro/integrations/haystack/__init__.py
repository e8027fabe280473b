"""Haystack's document store and retriever, kept by the database."""
