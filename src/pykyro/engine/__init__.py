"""The database itself: what is written, what is read, and what happens in the background."""
