"""The words of the rows of a hot tier.

One thread adds, any number read without a lock. A row is added before it is shown, and rows only ever grow: so who
leaves out the rows it does not know yet sees the index as it was.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from pykyro.index.words.postings import PostingRows, Postings

_TERM_BYTES: Final = 220
"""Of a term beside its letters: the string, its place in a table, the array of its rows."""
_POSTING_BYTES: Final = 10
"""A row and a count, and what an array has room for beyond."""
_ROW_BYTES: Final = 5


class MutableWords:
    """A WordIndex that grows."""

    def __init__(self) -> None:
        self._pairs: dict[str, array[int]] = {}
        """By term a number for each row that has it: the row in its upper half, how often in the lower."""
        self._lengths = array("I")
        self.size_bytes = 0
        self.largest = 1
        """No count of a term in a row is larger."""

    def add(self, row: int, counts: Mapping[str, int], length: int) -> None:
        """Add a row behind all others. For the writer."""
        pairs, fresh, upper = self._pairs, 0, row << 32
        for term, count in counts.items():
            try:
                pairs[term].append(upper | count)
            except KeyError:
                pairs[term] = array("Q", (upper | count,))
                fresh += _TERM_BYTES + len(term)
        if counts:
            self.largest = max(self.largest, *counts.values())
        missing = row - len(self._lengths)
        if missing:  # rows that nobody will ever ask for
            self._lengths.extend([0] * missing)
        self._lengths.append(length)
        self.size_bytes += fresh + _POSTING_BYTES * len(counts) + _ROW_BYTES

    def postings(self, term: str) -> Postings | None:
        pairs = self._pairs.get(term)
        if pairs is None:
            return None
        # A copy, taken at once: an array that is looked into cannot grow.
        return _postings(pairs.tobytes())

    def together(self, terms: Sequence[str]) -> tuple[npt.NDArray[np.int64], Postings]:
        """How many rows have each of these terms, which are in here, and the postings of all, one after the other.
        For whoever knows that nothing is added any more."""
        pairs = [self._pairs[term] for term in terms]
        return np.fromiter(map(len, pairs), np.int64, len(pairs)), _postings(b"".join(pairs))

    def size(self, term: str) -> int:
        """How many rows have it."""
        pairs = self._pairs.get(term)
        return 0 if pairs is None else len(pairs)

    def terms_from(self, prefix: str) -> Iterator[str]:
        return iter(sorted(term for term in list(self._pairs) if term.startswith(prefix)))

    def length(self, row: int) -> int:
        """How many words a row has."""
        return self._lengths[row]

    def lengths(self, first: int, last: int) -> PostingRows:
        return np.frombuffer(self._lengths[first:last].tobytes(), np.uint32)


def _postings(pairs: bytes) -> Postings:
    both = np.frombuffer(pairs, "<u4").reshape(-1, 2)
    return Postings(both[:, 1], both[:, 0])
