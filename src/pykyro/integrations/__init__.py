"""What lets programs of other frameworks in.

These packages hold no logic of the database and use its public API only: the names of `pykyro.__all__`. Each needs an
extra, and nothing of it is imported before a program asks for it.
"""
