"""The archive of a database elsewhere, and what is made of it: followers, and a new leader."""
