"""The names of the package qdrant_client, on the public API of pykyro."""
