"""A cold tier that is a table of PostgreSQL."""
