"""The names of the package chromadb, on the public API of pykyro."""
