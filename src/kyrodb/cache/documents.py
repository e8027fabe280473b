"""Documents a cache holds, as arrays side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kyrodb.types import Matrix

DocIds = npt.NDArray[np.uint64]
_OVERHEAD_BYTES = 64
"""Of a row besides its vector and metadata: id, length, list entry, header of the bytes object."""


@dataclass(frozen=True, slots=True)
class Documents:
    """`vectors` are the client's own float32 values, shape (n, d); `norms` their lengths, float64, shape (n,).

    `metadata` holds what a response carries of each, in the form of kyrodb.metadata_wire.
    """

    doc_ids: DocIds
    vectors: Matrix
    norms: npt.NDArray[np.float64]
    metadata: Sequence[bytes]

    def changed(self, gone: frozenset[int], arriving: Documents, rows: Sequence[int]) -> Documents:
        """These without the ids `gone`, then the given rows of `arriving`."""
        kept = [at for at, doc_id in enumerate(self.doc_ids.tolist()) if doc_id not in gone]
        return Documents(
            np.concatenate([self.doc_ids[kept], arriving.doc_ids[rows]]),
            np.concatenate([self.vectors[kept], arriving.vectors[rows]]),
            np.concatenate([self.norms[kept], arriving.norms[rows]]),
            [*(self.metadata[at] for at in kept), *(arriving.metadata[at] for at in rows)],
        )

    @property
    def size_bytes(self) -> int:
        return self.vectors.nbytes + _OVERHEAD_BYTES * len(self.doc_ids) + sum(map(len, self.metadata))


class HeldDocuments:
    """The documents of one cached answer, fetched when they are first needed.

    Most answers are never asked for again, so copying rows for them would be wasted. `doc_ids` are known at
    once. What `fetch` returns must not depend on when it is called.
    """

    __slots__ = ("_documents", "_fetch", "doc_ids")

    def __init__(self, doc_ids: DocIds, fetch: Callable[[], Documents]) -> None:
        self.doc_ids = doc_ids
        self._fetch: Callable[[], Documents] | None = fetch
        self._documents: Documents | None = None

    @classmethod
    def of(cls, documents: Documents) -> HeldDocuments:
        """Documents that need no fetching."""
        held = cls(documents.doc_ids, lambda: documents)
        held.fetched()
        return held

    def fetched(self) -> Documents:
        """The documents. Two threads may fetch at once, to the same effect."""
        fetch = self._fetch
        if fetch is not None:
            # The order lets a thread that finds no `fetch` find the documents.
            self._documents = fetch()
            self._fetch = None
        assert self._documents is not None
        return self._documents

    @property
    def is_fetched(self) -> bool:
        return self._fetch is None

    def estimated_bytes(self, dimension: int) -> int:
        """Bytes held, or that will be held but for metadata."""
        if self._documents is not None:
            return self._documents.size_bytes
        return len(self.doc_ids) * (4 * dimension + _OVERHEAD_BYTES)
