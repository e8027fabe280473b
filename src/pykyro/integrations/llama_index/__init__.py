"""LlamaIndex's vector store, kept by the database."""
