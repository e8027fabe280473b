"""A collection as programs written for Chroma use it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from pykyro.integrations.chroma.collection_rows import CollectionRows, Shown
from pykyro.integrations.chroma.errors import NotSupported, chroma_errors
from pykyro.integrations.chroma.filters import combined_filter
from pykyro.integrations.chroma.results import checked_bound, checked_include, get_result, query_result
from pykyro.integrations.chroma.rows import (
    Row,
    checked_ids,
    checked_vectors,
)
from pykyro.integrations.chroma.settings import DATABASE, TENANT

Where = Mapping[str, Any]
_IDS_AT_ONCE: Final = 5000
_PAGE: Final = 1000


class Collection(CollectionRows):
    """The rows of one collection: ids, vectors, metadata and documents.

    A client makes it. Methods raise what Chroma's raise where a program can depend on it: ValueError for arguments
    of the wrong form, and the errors of pykyro.compat.chroma.errors. What is not here raises NotSupported.
    """

    def __repr__(self) -> str:
        return f"Collection(name={self.name})"

    @property
    def name(self) -> str:
        """Its name."""
        return self._entry.name

    @property
    def id(self) -> uuid.UUID:
        """An id that stays when the name changes."""
        return uuid.UUID(self._entry.id)

    @property
    def metadata(self) -> dict[str, Any] | None:
        """The metadata of the collection itself."""
        return self._entry.metadata

    @property
    def configuration(self) -> dict[str, Any]:
        """The distance and what was said of the graph, below "hnsw"."""
        return {"hnsw": dict(self._entry.hnsw)}

    configuration_json = configuration
    tenant = TENANT
    database = DATABASE

    # --- writes ---

    def add(
        self,
        ids: str | Sequence[str],
        embeddings: Any = None,
        metadatas: Any = None,
        documents: str | Sequence[str] | None = None,
        images: Any = None,
        uris: Any = None,
    ) -> None:
        """Store rows; one whose id is there already is left as it is."""
        rows = self._rows("add", ids, embeddings, metadatas, documents, images, uris)
        with self._writing, chroma_errors(self.name):
            collection = self._to_write(rows)
            known = self._known(collection, rows, with_vectors=False)
            self._store(collection, [(row, None) for row in rows if row.id not in known])

    def upsert(
        self,
        ids: str | Sequence[str],
        embeddings: Any = None,
        metadatas: Any = None,
        documents: str | Sequence[str] | None = None,
        images: Any = None,
        uris: Any = None,
    ) -> None:
        """Store rows; of one whose id is there, the vector is replaced, entries of metadata are laid over those it
        has, and its document is replaced where one is given."""
        rows = self._rows("upsert", ids, embeddings, metadatas, documents, images, uris)
        with self._writing, chroma_errors(self.name):
            collection = self._to_write(rows)
            known = self._known(collection, rows, with_vectors=False)
            self._store(collection, [(row, known.get(row.id)) for row in rows])

    def update(
        self,
        ids: str | Sequence[str],
        embeddings: Any = None,
        metadatas: Any = None,
        documents: str | Sequence[str] | None = None,
        images: Any = None,
        uris: Any = None,
    ) -> None:
        """Change rows as `upsert` does; an id that is not there is left out. A document without a vector is embedded
        again."""
        rows = self._rows("update", ids, embeddings, metadatas, documents, images, uris)
        with self._writing, chroma_errors(self.name):
            collection = self._to_read()
            if collection is None:
                return
            self._check_dimension(collection, rows)
            known = self._known(collection, rows, with_vectors=True)
            self._store(collection, [(row, known[row.id]) for row in rows if row.id in known])

    def delete(
        self,
        ids: str | Sequence[str] | None = None,
        where: Where | None = None,
        where_document: Where | None = None,
        limit: int | None = None,
    ) -> dict[str, int]:
        """Remove the rows that all criteria name, at most `limit`; {"deleted": how many there were}."""
        if ids is None and where is None and where_document is None:
            raise ValueError("At least one of ids, where, or where_document must be provided in delete.")
        limit = checked_bound(limit, "limit")
        own_ids = None if ids is None else checked_ids(ids)
        criteria = combined_filter(where, where_document)
        with self._writing, chroma_errors(self.name):
            collection = self._to_read()
            if collection is None:
                return {"deleted": 0}
            if criteria is not None:
                found = self._matching(collection, criteria, own_ids, Shown(vectors=False, metadata=False))
                own_ids = [one.id for one in found]
            assert own_ids is not None
            return {"deleted": collection.delete_many(own_ids[:limit])}

    def modify(
        self, name: str | None = None, metadata: dict[str, Any] | None = None, configuration: Any = None
    ) -> None:
        """Give the collection another name, other metadata. The distance never changes."""
        if configuration is not None:
            raise NotSupported(
                "modify(configuration=…): set ef_search by pykyro's update_collection; the rest of the graph is said "
                "when the collection is made"
            )
        if metadata is not None and "hnsw:space" in metadata:
            raise ValueError(
                "Changing the distance function of a collection once it is created is not supported currently."
            )
        entry = self._registry.entry(self.name)
        if metadata is not None:
            self._registry.set_metadata(entry, metadata)
            entry = self._registry.entry(self.name)
        if name is not None and name != entry.name:
            self._registry.rename(entry, name)
            entry = self._registry.entry(name)
        self._entry = entry

    # --- reads ---

    def count(self, read_level: object = None) -> int:
        """How many rows there are."""
        with chroma_errors(self.name):
            collection = self._to_read()
            return 0 if collection is None else collection.count()

    def get(
        self,
        ids: str | Sequence[str] | None = None,
        where: Where | None = None,
        limit: int | None = None,
        offset: int | None = None,
        where_document: Where | None = None,
        include: Sequence[str] = ("metadatas", "documents"),
    ) -> dict[str, Any]:
        """The rows that all criteria name, in the order in which they were added."""
        included = checked_include(include, of_query=False)
        limit, begin = checked_bound(limit, "limit"), checked_bound(offset, "offset") or 0
        own_ids = None if ids is None else checked_ids(ids)
        criteria = combined_filter(where, where_document)
        with chroma_errors(self.name):
            collection = self._to_read()
            if collection is None:
                return get_result([], included)
            shown = Shown("embeddings" in included, "metadatas" in included or "documents" in included)
            end = None if limit is None else begin + limit
            if own_ids is not None and criteria is None:
                rows = self._by_ids(collection, own_ids, shown.vectors)
            else:
                rows = self._matching(collection, criteria, own_ids, shown, end)
            return get_result(rows[begin:end], included)

    def peek(self, limit: int = 10) -> dict[str, Any]:
        """The first rows, with their vectors."""
        return self.get(limit=limit, include=["metadatas", "documents", "embeddings"])

    def query(
        self,
        query_embeddings: Any = None,
        query_texts: str | Sequence[str] | None = None,
        query_images: Any = None,
        query_uris: Any = None,
        ids: str | Sequence[str] | None = None,
        n_results: int = 10,
        where: Where | None = None,
        where_document: Where | None = None,
        include: Sequence[str] = ("metadatas", "documents", "distances"),
    ) -> dict[str, Any]:
        """The nearest rows of each query, up to `n_results`, among those that all criteria name."""
        if query_images is not None or query_uris is not None:
            raise NotSupported("query(query_images=…, query_uris=…): embed them, and give query_embeddings")
        included = checked_include(include, of_query=True)
        if not isinstance(n_results, int) or n_results < 1:
            raise TypeError(f"Number of requested results {n_results!r:.100}, cannot be negative, or zero.")
        if query_embeddings is None:
            query_embeddings = self._embedded_queries(query_texts)
        queries = checked_vectors(query_embeddings)
        criteria = combined_filter(where, where_document, None if ids is None else checked_ids(ids))
        with chroma_errors(self.name):
            collection = self._to_read()
            if collection is None:
                return query_result(queries, [[] for _ in queries], "l2", included)
            self._check_dimension(collection, [Row("", query, None, None) for query in queries])
            answers = collection.search_many(
                queries,
                n_results,
                filter=criteria,
                include_vectors="embeddings" in included or "distances" in included,
                include_metadata="metadatas" in included or "documents" in included,
            )
            return query_result(queries, answers, self._entry.hnsw["space"], included)

    # --- what is not here ---

    def search(self, *given: object, **named: object) -> NoReturn:
        """Not here: raises NotSupported."""
        raise NotSupported("Collection.search with Search(): use query(), or pykyro's own search")

    def fork(self, new_name: str) -> NoReturn:
        """Not here: raises NotSupported."""
        raise NotSupported("Collection.fork: make a collection, and add() what get() gives")

    def attach_function(self, *given: object, **named: object) -> NoReturn:
        """Not here: raises NotSupported."""
        raise NotSupported("Collection.attach_function: call the function where the program adds rows")
