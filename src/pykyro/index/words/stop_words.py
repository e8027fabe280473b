"""The most frequent words of a language, folded: too common to tell documents apart.

The English list is that of Apache Lucene's StandardAnalyzer.
"""

from __future__ import annotations

from typing import Final

_ENGLISH: Final = """
a an and are as at be but by for if in into is it no not of on or such
that the their then there these they this to was will with
"""
STOP_WORDS: Final[dict[str, frozenset[str]]] = {"english": frozenset(_ENGLISH.split())}
