"""Moving the sealed documents of an open engine: to a table elsewhere, and back."""
