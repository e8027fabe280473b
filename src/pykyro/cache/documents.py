"""Documents a cache holds, as arrays side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from pykyro.model.types import Matrix

DocIds = npt.NDArray[np.uint64]
ROW_BYTES: Final = 64
"""Of a row besides its vector and metadata: id, length, list entry, header of the bytes object."""


@dataclass(frozen=True, slots=True)
class Documents:
    """`vectors` are the client's own float32 values, shape (n, d); `norms` their lengths, float64, shape (n,).

    `metadata` holds what a response carries of each, in the form of pykyro.model.metadata_wire.
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
        return self.vectors.nbytes + ROW_BYTES * len(self.doc_ids) + sum(map(len, self.metadata))


class Source(Protocol):
    """What a search found. What it gives must not depend on when it is asked."""

    @property
    def unseen_bound(self) -> float:
        """No document the search met and that is not among `documents` is more similar than this.

        Minus infinity when it met no other, infinite when nothing is known.
        """
        ...

    @property
    def kth(self) -> float:
        """Similarity of the k-th best, minus infinity when there are fewer."""
        ...

    @property
    def exact(self) -> bool:
        """Whether the search met every document there is."""
        ...

    def count(self) -> int:
        """How many documents there are at most."""
        ...

    def doc_ids(self) -> DocIds:
        """Their ids, and maybe some more."""
        ...

    def documents(self) -> Documents: ...


class HeldDocuments:
    """The documents of one cached answer, fetched when they are first needed.

    Most answers are never asked for again, so copying rows for them would be wasted.
    """

    __slots__ = ("_documents", "_source", "size_bytes")

    def __init__(self, source: Source, size_bytes: int) -> None:
        self._source: Source | None = source
        self._documents: Documents | None = None
        self.size_bytes = size_bytes
        """Bytes held; before the documents are fetched, about what they will take."""

    @classmethod
    def of(cls, documents: Documents) -> HeldDocuments:
        """Documents that need no fetching."""
        held = cls.__new__(cls)
        held._source, held._documents, held.size_bytes = None, documents, documents.size_bytes
        return held

    @property
    def is_fetched(self) -> bool:
        return self._source is None

    def fetched(self) -> Documents:
        """The documents. Two threads may fetch at once, to the same effect."""
        source = self._source
        if source is not None:
            # The order lets a thread that finds no source find the documents.
            documents = self._documents = source.documents()
            self.size_bytes = documents.size_bytes
            self._source = None
        assert self._documents is not None
        return self._documents

    def doc_ids(self) -> DocIds:
        """The ids of the documents, before they are fetched maybe with some more."""
        source = self._source
        return self.fetched().doc_ids if source is None else source.doc_ids()
