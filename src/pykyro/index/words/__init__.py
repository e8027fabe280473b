"""The index of words: what the words of a text are, which rows have them, and how rows are scored by them."""
