"""How a collection finds, checks and stores its rows: what stands behind the methods of collection.py."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pykyro
from pykyro.integrations.chroma.embedding import Embedder, embed
from pykyro.integrations.chroma.errors import InvalidArgumentError, NotSupported
from pykyro.integrations.chroma.filters import Filter
from pykyro.integrations.chroma.registry import Entry, Registry
from pykyro.integrations.chroma.rows import ORDER, Row, checked_rows, checked_vectors, stored_metadata
from pykyro.integrations.places import SyncCollection
from pykyro.integrations.store_collection import found, require_stored

_IDS_AT_ONCE: Final = 5000
_IDS_IN_FILTER: Final = 2000
_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Shown:
    """What of the rows is asked for."""

    vectors: bool
    metadata: bool


class CollectionRows:
    """The rows of one collection, which are in a collection of the database once there has been a vector."""

    def __init__(self, registry: Registry, entry: Entry, embedder: Embedder | None) -> None:
        self._registry: Final = registry
        self._entry = entry
        self._embedder: Final = embedder
        self._dimension = 0
        self._writing: Final = threading.Lock()

    def _rows(
        self, call: str, ids: Any, embeddings: Any, metadatas: Any, documents: Any, images: Any, uris: Any
    ) -> list[Row]:
        if images is not None or uris is not None:
            raise NotSupported(f"{call}(images=…, uris=…): embed them, and give embeddings")
        if embeddings is None and documents is None and call != "update":
            raise ValueError(f"At least one of embeddings and documents must be provided in {call}.")
        rows = checked_rows(ids, embeddings, metadatas, documents)
        if embeddings is None:
            texts = [(row, row.document) for row in rows if row.document is not None]
            if len(texts) < len(rows) and call != "update":
                raise ValueError(f"Each row needs an embedding or a document in {call}.")
            if texts:
                vectors = checked_vectors(embed(self._embedder, [text for _, text in texts]))
                for (row, _), vector in zip(texts, vectors, strict=True):
                    row.vector = vector
        return rows

    def _embedded_queries(self, texts: str | Sequence[str] | None) -> list[Any]:
        if texts is None:
            raise ValueError("At least one of query_embeddings and query_texts must be provided in query.")
        return embed(self._embedder, [texts] if isinstance(texts, str) else list(texts), for_query=True)

    def _to_read(self) -> SyncCollection | None:
        """The rows, or None while there are none. Raises NotFoundError when the collection was deleted."""
        if not self._entry.data:
            self._entry = self._registry.entry(self._entry.name)
        return self._registry.rows(self._entry.data) if self._entry.data else None

    def _to_write(self, rows: list[Row]) -> SyncCollection:
        collection = self._to_read()
        if collection is None:
            assert rows[0].vector is not None
            self._check_norms(rows)
            self._registry.make_data(self._entry, rows[0].vector.size)
            collection = self._to_read()
            assert collection is not None
        self._check_dimension(collection, rows)
        return collection

    def _check_dimension(self, collection: SyncCollection, rows: list[Row]) -> None:
        self._dimension = self._dimension or collection.describe().config.dimension
        for row in rows:
            if row.vector is not None and row.vector.size != self._dimension:
                raise InvalidArgumentError(
                    f"Collection expecting embedding with dimension of {self._dimension}, got {row.vector.size}"
                )
        self._check_norms(rows)

    def _check_norms(self, rows: list[Row]) -> None:
        if self._entry.hnsw["space"] == "cosine":
            for row in rows:
                if row.vector is not None and not row.vector.any():
                    raise InvalidArgumentError(f"embedding of {row.id!r:.200} is zero, which has no cosine")

    def _known(
        self, collection: SyncCollection, rows: list[Row], *, with_vectors: bool
    ) -> dict[str, pykyro.StoredDocument]:
        return {one.id: one for one in _lookup(collection, [row.id for row in rows], with_vectors)}

    def _store(
        self, collection: SyncCollection, rows: Sequence[tuple[Row, pykyro.StoredDocument | None]]
    ) -> None:
        documents: list[pykyro.NewDocument] = []
        for row, known in rows:
            vector = row.vector if row.vector is not None or known is None else known.vector
            assert vector is not None
            metadata = stored_metadata(row, None if known is None else known.metadata)
            documents.append(pykyro.NewDocument(row.id, vector, metadata))
        if documents:
            require_stored(collection.insert_many(documents))

    def _by_ids(
        self, collection: SyncCollection, ids: list[str], with_vectors: bool
    ) -> list[pykyro.StoredDocument]:
        rows = _lookup(collection, list(dict.fromkeys(ids)), with_vectors)
        return sorted(rows, key=_order)

    def _matching(
        self,
        collection: SyncCollection,
        criteria: Filter | None,
        ids: list[str] | None,
        shown: Shown,
        end: int | None = None,
    ) -> list[pykyro.StoredDocument]:
        """The rows that match, of these ids if some are named, in the order in which they were added; the first
        `end` of them at least."""
        if ids is None:
            return _scrolled(collection, criteria, shown, end)
        ordered = Shown(shown.vectors, metadata=True)
        rows: list[pykyro.StoredDocument] = []
        for begin in range(0, len(ids), _IDS_IN_FILTER):
            named = {"__id__": {"$in": ids[begin : begin + _IDS_IN_FILTER]}}
            rows.extend(_scrolled(collection, {"$and": [criteria or {}, named]}, ordered, None))
        return sorted(rows, key=_order)


def _scrolled(
    collection: SyncCollection, criteria: Filter | None, shown: Shown, end: int | None
) -> list[pykyro.StoredDocument]:
    rows: list[pykyro.StoredDocument] = []
    token = ""
    while end is None or len(rows) < end:
        page = collection.scroll(
            filter=criteria,
            limit=_PAGE if end is None else min(_PAGE, end - len(rows)),
            page_token=token,
            order_by=ORDER,
            include_vectors=shown.vectors,
            include_metadata=shown.metadata,
        )
        rows.extend(page)
        token = page.next_page_token
        if not token:
            break
    return rows


def _order(row: pykyro.StoredDocument) -> tuple[int, str]:
    return row.metadata.get(ORDER, 0), row.id


def _lookup(collection: SyncCollection, ids: list[str], with_vectors: bool) -> list[pykyro.StoredDocument]:
    documents: list[pykyro.StoredDocument] = []
    for begin in range(0, len(ids), _IDS_AT_ONCE):
        part = ids[begin : begin + _IDS_AT_ONCE]
        documents.extend(found(collection.get_many(part, include_vectors=with_vectors)))
    return documents
