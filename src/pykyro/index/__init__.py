"""Searching: filters, the metadata index, exact and graph search, the planner. No I/O, no tenants."""
