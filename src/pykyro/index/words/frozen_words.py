"""The words of the rows of a cold segment, in arrays that are mapped from its file.

    terms     u8    every term in UTF-8, one after the other, ascending by their bytes
    ends      u64   where each term ends in `terms`
    starts    u64   where the postings of each term start, and where the last end
    rows      u32   the rows that have a term, ascending, term by term
    counts    u8, u16 or u32   how often each has it
    lengths   u32   how many words each row has

Whole numbers only: scores are worked out when they are asked for, as they depend on all documents there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pykyro.index.words.postings import PostingRows, Postings

TERMS: Final = "terms"
ENDS: Final = "ends"
STARTS: Final = "starts"
ROWS: Final = "rows"
COUNTS: Final = "counts"
LENGTHS: Final = "lengths"
_TYPES: Final = {
    TERMS: (np.uint8,),
    ENDS: (np.uint64,),
    STARTS: (np.uint64,),
    ROWS: (np.uint32,),
    COUNTS: (np.uint8, np.uint16, np.uint32),
    LENGTHS: (np.uint32,),
}


class FrozenWords:
    """A WordIndex over sections of a file."""

    def __init__(self, sections: Mapping[str, npt.NDArray[Any]], rows: int) -> None:
        """Raises ValueError when the sections do not fit each other, or `rows` rows."""
        for name, types in _TYPES.items():
            section = sections.get(name)
            if section is None or section.ndim != 1 or section.dtype not in types:
                raise ValueError(f"section {name} of the words is missing or of another type")
        self._terms = sections[TERMS].data
        # Slices of numpy cost microseconds, and a term is looked up by some twenty.
        self._ends, self._starts = sections[ENDS].data, sections[STARTS].data
        self._rows: PostingRows = sections[ROWS]
        self._counts = sections[COUNTS]
        self._lengths: PostingRows = sections[LENGTHS]
        self.terms = len(self._ends)
        ends, starts = sections[ENDS], sections[STARTS]
        if (
            len(self._lengths) != rows
            or len(starts) != self.terms + 1
            or len(self._rows) != len(self._counts)
            or int(starts[-1]) != len(self._rows)
            or (int(ends[-1]) if self.terms else 0) != len(sections[TERMS])
            or bool(np.any(ends[1:] < ends[:-1]))
            or bool(np.any(starts[1:] < starts[:-1]))
            or (len(self._rows) > 0 and int(self._rows.max()) >= rows)
        ):
            raise ValueError("sections of the words do not fit each other")

    def term(self, at: int) -> bytes:
        """The term at this place, in UTF-8."""
        ends = self._ends
        return bytes(self._terms[ends[at - 1] if at else 0 : ends[at]])

    def postings_at(self, at: int) -> Postings:
        """The postings of the term at this place."""
        start, end = self._starts[at], self._starts[at + 1]
        return Postings(self._rows[start:end], self._counts[start:end])

    def postings(self, term: str) -> Postings | None:
        at = self._find(term)
        return None if at is None else self.postings_at(at)

    def terms_from(self, prefix: str) -> Iterator[str]:
        sought = prefix.encode(errors="replace")
        for at in range(self._first_from(sought), self.terms):
            term = self.term(at)
            if not term.startswith(sought):
                return
            yield term.decode()

    def lengths(self, first: int, last: int) -> PostingRows:
        return self._lengths[first:last]

    @property
    def count_type(self) -> np.dtype[Any]:
        return self._counts.dtype

    def _find(self, term: str) -> int | None:
        sought = term.encode(errors="replace")
        at = self._first_from(sought)
        return at if at < self.terms and self.term(at) == sought else None

    def _first_from(self, sought: bytes) -> int:
        """The place of the first term that is not before it."""
        low, high = 0, self.terms
        while low < high:
            middle = (low + high) // 2
            if self.term(middle) < sought:
                low = middle + 1
            else:
                high = middle
        return low
