"""A DocumentStore of Haystack, for callers that wait and for coroutines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Self

from haystack import default_from_dict, default_to_dict
from haystack.dataclasses import Document
from haystack.document_stores.types import DuplicatePolicy
from haystack.utils import Secret, deserialize_secrets_inplace

import pykyro
from pykyro.integrations.haystack.documents import (
    CONTENT_KEY,
    Row,
    check_meta,
    document_of,
    rows_of,
    to_write,
)
from pykyro.integrations.haystack.filters import filter_of, searched
from pykyro.integrations.places import Given, Place
from pykyro.integrations.store_collection import (
    StoreCollection,
    every_document,
    found,
    require_stored,
    words_under,
)

_KEY: Final = Secret.from_env_var("KYRODB_API_KEY", strict=False)


class KyroDocumentStore:
    """Documents in a collection whose ids are text; their metadata keeps its types. A document need not have an
    embedding; embeddings come back as float32.

    Methods whose names end in `_async` are for coroutines, and the event loop goes on while they wait. Errors are
    those of pykyro, and Haystack's DuplicateDocumentError and FilterError.
    """

    def __init__(
        self,
        collection: str = "haystack",
        *,
        path: str | None = None,
        url: str | None = None,
        database: Given | None = None,
        api_key: Secret | None = _KEY,
        tls: pykyro.Tls | bool = False,
        timeout_s: float = 30.0,
        embedding_dim: int = 768,
        distance: pykyro.Distance = "cosine",
        create: bool = True,
        namespace: str = "",
        text_language: str | None = None,
    ) -> None:
        """Exactly one of these says where the documents are: `path`, a directory, opened in this process; `url`, the
        host:port of a server, with `api_key`, `tls` and `timeout_s` as for pykyro.Client; `database`, a Database, a
        client, or a collection of either, which then stays the program's to close.

        The collection is made by the first write, for embeddings of `embedding_dim` components, with `distance`
        ("cosine", "euclidean", "innerproduct"). Without `create` it must be there.

        With a `text_language`, one of docs/words.md or "simple", a collection that is made here also finds the words
        of documents: KyroBM25Retriever and KyroHybridRetriever. One that is there has what it was created with.

        Raises InvalidArgument, and what `pykyro.open` and `pykyro.Client` raise.
        """
        key = api_key.resolve_value() if api_key is not None and url is not None else None
        place = Place(path=path, url=url, database=database, api_key=key, tls=tls, timeout_s=timeout_s)
        self._place: Final = place
        self._collection: Final = StoreCollection(
            place, collection, distance=distance, create=create, text=words_under(CONTENT_KEY, text_language)
        )
        self._dimension: Final = embedding_dim
        self._namespace: Final = namespace
        self._parameters: Final = {
            "collection": collection,
            "path": path,
            "url": url,
            "api_key": api_key,
            "tls": tls,
            "timeout_s": timeout_s,
            "embedding_dim": embedding_dim,
            "distance": distance,
            "create": create,
            "namespace": namespace,
            "text_language": text_language,
        }
        self._is_given: Final = database is not None

    def to_dict(self) -> dict[str, Any]:
        """The store as Haystack writes it in a pipeline. Raises FailedPrecondition for one that was given a database
        or a Tls, which cannot be written."""
        if self._is_given or isinstance(self._parameters["tls"], pykyro.Tls):
            raise pykyro.FailedPrecondition(
                "a store with `database` or a Tls cannot be written in a pipeline: make it with path, or with url "
                "and tls=True"
            )
        return default_to_dict(self, **self._parameters)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The store that `to_dict` has written."""
        deserialize_secrets_inplace(data["init_parameters"], keys=["api_key"])
        store: Self = default_from_dict(cls, data)
        return store

    def close(self) -> None:
        """Close what the store opened, not what it was given. Closing twice is allowed."""
        self._place.close()

    async def close_async(self) -> None:
        """`close` for coroutines; it also closes the client of this event loop."""
        await self._place.aclose()

    # --- for callers that wait ---

    def count_documents(self) -> int:
        """How many documents there are."""
        return self._count(None)

    def count_documents_by_filter(self, filters: dict[str, Any]) -> int:
        """How many documents match."""
        return self._count(filters)

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """The documents that match, with their embeddings, in no stated order; without filters all. Raises
        FilterError."""
        condition, collection = filter_of(filters), self._collection.to_read()
        if collection is None:
            return []
        documents = collection.documents(filter=condition, namespace=self._namespace, include_vectors=True)
        return [document_of(one) for one in documents]

    def write_documents(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """Store documents; how many are written. Without a policy an id that is there is a DuplicateDocumentError,
        as with FAIL, and nothing is written. Whether it is there is asked before, so two writers at once can both
        pass."""
        rows = rows_of(documents, self._dimension)
        if not rows:
            return 0
        collection = self._collection.to_write(self._dimension)
        known: list[pykyro.StoredDocument] = []
        if policy != DuplicatePolicy.OVERWRITE:
            known = found(collection.get_many(_ids(rows), self._namespace, include_vectors=False))
        rows = to_write(rows, policy, [one.id for one in known])
        if rows:
            require_stored(collection.insert_many(rows, self._namespace))
        return len(rows)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Delete the documents with these ids that are there."""
        if (collection := self._collection.to_read()) is not None:
            collection.delete_many(document_ids, namespace=self._namespace)

    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        """Delete the documents that match; how many there were."""
        condition, collection = filter_of(filters) or {}, self._collection.to_read()
        if collection is None:
            return 0
        return collection.delete_many(filter=condition, namespace=self._namespace)

    def delete_all_documents(self) -> None:
        """Delete all documents of the collection and namespace."""
        if (collection := self._collection.to_read()) is not None:
            collection.clear(self._namespace)

    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Lay `meta` over the metadata of the documents that match, one document after the other; how many."""
        check_meta(meta)
        condition, collection = filter_of(filters), self._collection.to_read()
        if collection is None:
            return 0
        matching = collection.documents(filter=condition, namespace=self._namespace, include_metadata=False)
        ids = [one.id for one in matching]
        return sum(
            collection.update_metadata(doc_id, meta, merge=True, namespace=self._namespace) for doc_id in ids
        )

    def embedding_retrieval(
        self,
        query_embedding: list[float],
        *,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        return_embedding: bool = False,
    ) -> list[Document]:
        """The `top_k` documents with the most similar embeddings, with scores: higher is more similar."""
        return self._retrieved(None, query_embedding, filters, top_k, return_embedding)

    def text_retrieval(
        self,
        query: str,
        query_embedding: list[float] | None = None,
        *,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        return_embedding: bool = False,
    ) -> list[Document]:
        """The `top_k` documents that have the words of `query`, by BM25; with an embedding those that are best by
        both, of the documents that have embeddings. Raises InvalidArgument for a collection without words."""
        return self._retrieved(query, query_embedding, filters, top_k, return_embedding)

    def _retrieved(
        self,
        text: str | None,
        embedding: list[float] | None,
        filters: dict[str, Any] | None,
        top_k: int,
        return_embedding: bool,
    ) -> list[Document]:
        condition = filter_of(filters) if embedding is None else searched(filters)
        collection = self._collection.to_read()
        if collection is None or not top_k:
            return []
        hits = collection.search(
            embedding,
            top_k,
            text=text,
            filter=condition,
            namespace=self._namespace,
            include_vectors=return_embedding,
        )
        return [document_of(hit) for hit in hits]

    def _count(self, filters: dict[str, Any] | None) -> int:
        condition, collection = filter_of(filters), self._collection.to_read()
        return 0 if collection is None else collection.count(filter=condition, namespace=self._namespace)

    # --- for coroutines ---

    async def count_documents_async(self) -> int:
        """`count_documents` for coroutines."""
        return await self._acount(None)

    async def count_documents_by_filter_async(self, filters: dict[str, Any]) -> int:
        """`count_documents_by_filter` for coroutines."""
        return await self._acount(filters)

    async def filter_documents_async(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """`filter_documents` for coroutines."""
        condition, collection = filter_of(filters), await self._collection.ato_read()
        if collection is None:
            return []
        documents = await every_document(collection, condition, self._namespace, include_vectors=True)
        return [document_of(one) for one in documents]

    async def write_documents_async(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """`write_documents` for coroutines."""
        rows = rows_of(documents, self._dimension)
        if not rows:
            return 0
        collection = await self._collection.ato_write(self._dimension)
        known: list[pykyro.StoredDocument] = []
        if policy != DuplicatePolicy.OVERWRITE:
            known = found(await collection.get_many(_ids(rows), self._namespace, include_vectors=False))
        rows = to_write(rows, policy, [one.id for one in known])
        if rows:
            require_stored(await collection.insert_many(rows, self._namespace))
        return len(rows)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """`delete_documents` for coroutines."""
        if (collection := await self._collection.ato_read()) is not None:
            await collection.delete_many(document_ids, namespace=self._namespace)

    async def delete_by_filter_async(self, filters: dict[str, Any]) -> int:
        """`delete_by_filter` for coroutines."""
        condition, collection = filter_of(filters) or {}, await self._collection.ato_read()
        if collection is None:
            return 0
        gone: int = await collection.delete_many(filter=condition, namespace=self._namespace)
        return gone

    async def delete_all_documents_async(self) -> None:
        """`delete_all_documents` for coroutines."""
        if (collection := await self._collection.ato_read()) is not None:
            await collection.clear(self._namespace)

    async def update_by_filter_async(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """`update_by_filter` for coroutines."""
        check_meta(meta)
        condition, collection = filter_of(filters), await self._collection.ato_read()
        if collection is None:
            return 0
        updated = 0
        for one in await every_document(collection, condition, self._namespace, include_metadata=False):
            updated += await collection.update_metadata(one.id, meta, merge=True, namespace=self._namespace)
        return updated

    async def embedding_retrieval_async(
        self,
        query_embedding: list[float],
        *,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        return_embedding: bool = False,
    ) -> list[Document]:
        """`embedding_retrieval` for coroutines."""
        return await self._aretrieved(None, query_embedding, filters, top_k, return_embedding)

    async def text_retrieval_async(
        self,
        query: str,
        query_embedding: list[float] | None = None,
        *,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        return_embedding: bool = False,
    ) -> list[Document]:
        """`text_retrieval` for coroutines."""
        return await self._aretrieved(query, query_embedding, filters, top_k, return_embedding)

    async def _aretrieved(
        self,
        text: str | None,
        embedding: list[float] | None,
        filters: dict[str, Any] | None,
        top_k: int,
        return_embedding: bool,
    ) -> list[Document]:
        condition = filter_of(filters) if embedding is None else searched(filters)
        collection = await self._collection.ato_read()
        if collection is None or not top_k:
            return []
        hits = await collection.search(
            embedding,
            top_k,
            text=text,
            filter=condition,
            namespace=self._namespace,
            include_vectors=return_embedding,
        )
        return [document_of(hit) for hit in hits]

    async def _acount(self, filters: dict[str, Any] | None) -> int:
        condition, collection = filter_of(filters), await self._collection.ato_read()
        if collection is None:
            return 0
        count: int = await collection.count(filter=condition, namespace=self._namespace)
        return count


def _ids(rows: Sequence[Row]) -> list[str]:
    return [doc_id for doc_id, _, _ in rows]
