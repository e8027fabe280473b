"""Making the sections of FrozenWords, piece by piece: from the words of a hot tier, or from those of segments.

Postings of many small terms are put away together, those of a large one in pieces: what is in memory at once does not
grow with the segment, but for the table that numbers its rows anew.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pykyro.index.metadata.merge_sections import GONE, Append
from pykyro.index.words.frozen_words import COUNTS, ENDS, LENGTHS, ROWS, STARTS, TERMS, FrozenWords
from pykyro.index.words.mutable_words import MutableWords
from pykyro.index.words.postings import Postings

_TOGETHER: Final = 1 << 16
"""Postings that are put away at once."""
_TERMS_TOGETHER: Final = 1 << 13


@dataclass(frozen=True, slots=True)
class WordsPart:
    """The words of a segment, and by row the new one or GONE; new rows ascend with old ones."""

    words: FrozenWords
    new_rows: npt.NDArray[np.uint32]


def words_of_tier(words: MutableWords, rows: npt.NDArray[np.int64], append: Append) -> None:
    """The sections for these rows of a hot tier, ascending, which nobody adds to any more."""
    last = int(rows[-1]) + 1
    new_rows = np.full(last, GONE, np.uint32)
    new_rows[rows] = np.arange(len(rows), dtype=np.uint32)
    writer = _SectionsWriter(append, np.min_scalar_type(words.largest))
    for terms in _some(words, list(words.terms_from(""))):
        sizes, postings = words.together(terms)
        numbers = np.repeat(np.arange(len(terms)), sizes)
        stay = postings.rows < last
        stay[stay] = new_rows[postings.rows[stay]] != GONE
        left = np.bincount(numbers[stay], minlength=len(terms)).tolist()
        some = [(term.encode(), count) for term, count in zip(terms, left, strict=True) if count]
        writer.add_many(some, Postings(new_rows[postings.rows[stay]], postings.counts[stay]))
    writer.finish([words.lengths(0, last)[rows]])


def _some(words: MutableWords, terms: Sequence[str]) -> Iterator[Sequence[str]]:
    """The terms, as many at once as have some ten thousand postings."""
    start = waiting = 0
    for at, term in enumerate(terms):
        waiting += words.size(term)
        if waiting >= _TOGETHER:
            yield terms[start : at + 1]
            start, waiting = at + 1, 0
    if start < len(terms):
        yield terms[start:]


def merge_words(parts: Sequence[WordsPart], append: Append) -> None:
    """The sections for the rows of all parts that stay, in their order."""
    writer = _SectionsWriter(
        append, max((part.words.count_type for part in parts), key=lambda kind: kind.itemsize)
    )
    for term, places in _by_term(parts):
        writer.add(term, _pieces(parts, places))
    writer.finish(part.words.lengths(0, len(part.new_rows))[part.new_rows != GONE] for part in parts)


def _by_term(parts: Sequence[WordsPart]) -> Iterator[tuple[bytes, list[tuple[int, int]]]]:
    """Each term, ascending, with the parts it is in and its places there."""

    def terms(number: int) -> Iterator[tuple[bytes, int, int]]:
        words = parts[number].words
        for at in range(words.terms):
            yield words.term(at), number, at

    current: bytes | None = None
    places: list[tuple[int, int]] = []
    for term, number, at in heapq.merge(*map(terms, range(len(parts)))):
        if term != current:
            if current is not None:
                yield current, places
            current, places = term, []
        places.append((number, at))
    if current is not None:
        yield current, places


def _pieces(parts: Sequence[WordsPart], places: Sequence[tuple[int, int]]) -> Iterator[Postings]:
    for number, at in places:
        part = parts[number]
        found = part.words.postings_at(at)
        for start in range(0, len(found.rows), _TOGETHER):
            some = slice(start, start + _TOGETHER)
            yield _renumbered(Postings(found.rows[some], found.counts[some]), part.new_rows)


def _renumbered(postings: Postings, new_rows: npt.NDArray[np.uint32]) -> Postings:
    """Those of rows that stay, by their new numbers."""
    rows, counts = postings
    if len(rows) and int(rows[-1]) >= len(new_rows):
        known = rows < len(new_rows)
        rows, counts = rows[known], counts[known]
    numbers = new_rows[rows]
    stay = numbers != GONE
    return Postings(numbers[stay], counts[stay])


class _SectionsWriter:
    """Appends terms in ascending order, then the lengths of rows."""

    def __init__(self, append: Append, count_type: np.dtype[Any]) -> None:
        self._append = append
        self._count_type = count_type
        self._waiting: list[Postings] = []
        self._waiting_postings = 0
        self._terms: list[bytes] = []
        self._counts: list[int] = []
        self._terms_end = 0
        self._postings_end = 0

    def add(self, term: bytes, pieces: Iterable[Postings]) -> None:
        """A term and its postings; nothing when it has none."""
        count = 0
        for piece in pieces:
            if len(piece.rows):
                count += len(piece.rows)
                self._waiting.append(piece)
                self._waiting_postings += len(piece.rows)
                if self._waiting_postings >= _TOGETHER:
                    self._put_postings()
        if count:
            self._terms.append(term)
            self._counts.append(count)
            if len(self._terms) >= _TERMS_TOGETHER:
                self._put_terms()

    def add_many(self, terms: Sequence[tuple[bytes, int]], postings: Postings) -> None:
        """Terms, how many postings each has, and those of all of them, one after the other."""
        self._waiting.append(postings)
        self._put_postings()
        for term, count in terms:
            self._terms.append(term)
            self._counts.append(count)
        if len(self._terms) >= _TERMS_TOGETHER:
            self._put_terms()

    def finish(self, lengths: Iterable[npt.NDArray[np.uint32]]) -> None:
        self._put_postings()
        self._put_terms()
        self._append(STARTS, np.array([self._postings_end], np.uint64))
        for piece in lengths:
            self._append(LENGTHS, np.ascontiguousarray(piece, np.uint32))

    def _put_postings(self) -> None:
        waiting, self._waiting, self._waiting_postings = self._waiting, [], 0
        rows = np.concatenate([np.empty(0, np.uint32), *(piece.rows for piece in waiting)])
        counts = np.concatenate([np.empty(0, np.uint32), *(piece.counts for piece in waiting)])
        self._append(ROWS, rows)
        self._append(COUNTS, counts.astype(self._count_type))

    def _put_terms(self) -> None:
        terms, counts, self._terms, self._counts = self._terms, self._counts, [], []
        ends = self._terms_end + np.cumsum([len(term) for term in terms], dtype=np.uint64)
        starts = self._postings_end + np.cumsum([0, *counts], dtype=np.uint64)
        self._append(TERMS, np.frombuffer(b"".join(terms), np.uint8))
        self._append(ENDS, ends.astype(np.uint64))
        self._append(STARTS, starts[:-1].astype(np.uint64))
        if len(terms):
            self._terms_end, self._postings_end = int(ends[-1]), int(starts[-1])
