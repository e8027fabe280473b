"""A server of the Model Context Protocol: the database as tools of a language model."""
