"""The files of a cold segment: the only reader and the only writer of their format."""
