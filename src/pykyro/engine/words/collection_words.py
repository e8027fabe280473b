"""The words of a collection: its options, its analyser, and what each tier has to count of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pykyro.index.words.analyser import Analyser
from pykyro.index.words.bm25 import Corpus
from pykyro.index.words.mutable_words import MutableWords
from pykyro.model.typed_text import TypedText
from pykyro.model.words import WordsConfig

NOTHING: Corpus = Corpus(0, 0)


class CollectionWords(NamedTuple):
    """How the words of a collection are found."""

    config: WordsConfig
    analyser: Analyser

    def texts(self, metadata: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """The texts of a document and their keys, in the order of the options."""
        for key in self.config.keys:
            value = metadata.get(key)
            if value is not None and not isinstance(value, TypedText):
                yield key, value


class WordTotals:
    """Of the live rows of a tier, by owner: how many there are, and how many words they have. Counted by the one who
    writes; exact at every position, as rows are."""

    def __init__(self) -> None:
        self._by_owner: dict[int, Corpus] = {}

    @classmethod
    def of_rows(cls, owners: npt.NDArray[np.uint64], lengths: npt.NDArray[np.uint32]) -> WordTotals:
        """Of these rows, all alive."""
        totals = cls()
        numbers, places = np.unique(owners, return_inverse=True)
        documents = np.bincount(places, minlength=len(numbers))
        words = np.zeros(len(numbers), np.int64)
        np.add.at(words, places, lengths.astype(np.int64))
        for owner, some, length in zip(numbers.tolist(), documents.tolist(), words.tolist(), strict=True):
            totals._by_owner[owner] = Corpus(some, length)
        return totals

    def of(self, owner: int) -> Corpus:
        return self._by_owner.get(owner, NOTHING)

    def came(self, owner: int, length: int) -> None:
        """A row is alive from now on."""
        known = self.of(owner)
        self._by_owner[owner] = Corpus(known.documents + 1, known.words + length)

    def went(self, owner: int, length: int) -> None:
        """A row is not alive any more."""
        known = self.of(owner)
        self._by_owner[owner] = Corpus(known.documents - 1, known.words - length)


class HotWords:
    """The words of a hot tier."""

    def __init__(self, words: CollectionWords) -> None:
        self._words = words
        self.index = MutableWords()
        self.totals = WordTotals()

    def add(self, row: int, metadata: Mapping[str, str]) -> int:
        """Add a row that nobody sees yet; the bytes that takes."""
        before = self.index.size_bytes
        words = self._words
        self.index.add(row, *words.analyser.count(text for _, text in words.texts(metadata)))
        return self.index.size_bytes - before

    def shown(self, row: int, owner: int) -> None:
        """The row is alive from now on."""
        self.totals.came(owner, self.index.length(row))

    def deleted(self, row: int, owner: int) -> None:
        self.totals.went(owner, self.index.length(row))
