"""LangChain's interfaces, kept by the database."""
