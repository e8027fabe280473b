"""What the read path sees of a tier, hot or cold: the same three questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from kyrodb.distance import Question, Similarities
from kyrodb.engine.requests import Tier
from kyrodb.engine.stored_metadata import StoredMetadata
from kyrodb.index.filter import Filter
from kyrodb.types import Rows, Vector


@dataclass(slots=True)
class TierQuery:
    """One search as every tier gets it. `filter` includes the scope."""

    question: Question
    k: int
    ef: int
    filter: Filter | None
    exact: bool


@dataclass(slots=True)
class Candidates:
    """What a tier found: canonical similarities of its best rows, at least its true top k when `exact`.

    `matched` counts its live rows that satisfy the filter, `examined` those whose similarity was computed.
    """

    rows: Rows
    doc_ids: npt.NDArray[np.uint64]
    similarities: Similarities
    matched: int
    examined: int
    exact: bool
    plan: str


class SearchTier(Protocol):
    """A hot tier or a cold segment."""

    kind: Tier

    def search(self, query: TierQuery) -> Candidates: ...

    def lookup(self, doc_id: int) -> int | None:
        """The live row that holds this document, or None."""
        ...

    def vector(self, row: int) -> Vector:
        """The client's own float32 values, shape (dimension,), read-only."""
        ...

    def metadata(self, row: int) -> StoredMetadata: ...

    def public_metadata(self, rows: Sequence[int]) -> list[bytes]:
        """`metadata(row).public` of each row: what a response carries."""
        ...

    def kill(self, row: int) -> None:
        """Mark a row deleted; searches that start now do not see it."""
        ...

    def doc_ids_matching(self, condition: Filter | None) -> npt.NDArray[np.uint64]:
        """Ids of live documents that satisfy `condition`, ascending by row."""
        ...


NO_ROWS = np.empty(0, dtype=np.int64)


def no_candidates(plan: str) -> Candidates:
    return Candidates(
        NO_ROWS, np.empty(0, np.uint64), np.empty(0, np.float64), matched=0, examined=0, exact=True, plan=plan
    )
