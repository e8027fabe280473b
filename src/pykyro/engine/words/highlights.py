"""Where the words of a query stand in the texts of an answer."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice

from pykyro.engine.tiers.stored_metadata import TierMetadata
from pykyro.engine.words.collection_words import CollectionWords
from pykyro.model.legs import Span
from pykyro.model.limits import HIGHLIGHT_CHARS_MAX, HIGHLIGHTS_MAX


class Highlighter:
    """Of one answer: it reads up to HIGHLIGHT_CHARS_MAX characters in all, and marks up to HIGHLIGHTS_MAX words a
    document."""

    def __init__(self, words: CollectionWords, terms: Collection[str]) -> None:
        self._words = words
        self._terms = terms
        self._left = HIGHLIGHT_CHARS_MAX

    def spans(self, metadata: TierMetadata) -> tuple[Span, ...]:
        """The words of the query in the texts of a document, in order; less when too much was read already."""
        return tuple(islice(self._spans(metadata), HIGHLIGHTS_MAX))

    def _spans(self, metadata: TierMetadata) -> Iterator[Span]:
        for key, text in self._words.texts(metadata.whole()):
            part = text[: self._left]
            self._left -= len(part)
            for token in self._words.analyser.tokens(part):
                if token.term in self._terms:
                    yield Span(key, token.start, token.end)
