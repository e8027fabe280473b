"""What a search asks of the words of a tier, hot or cold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

PostingRows: TypeAlias = npt.NDArray[np.uint32]
Counts: TypeAlias = npt.NDArray[np.unsignedinteger]


class Postings(NamedTuple):
    """The rows that have a term, ascending, and how often each has it."""

    rows: PostingRows
    counts: Counts


class WordIndex(Protocol):
    """The words of a tier. Rows that were deleted are in it too."""

    def postings(self, term: str) -> Postings | None:
        """Of one term; None when no row has it."""
        ...

    def terms_from(self, prefix: str) -> Iterator[str]:
        """The terms that begin with `prefix`, ascending."""
        ...

    def lengths(self, first: int, last: int) -> PostingRows:
        """How many words each of these rows has."""
        ...
