"""The kyrodb top command."""
