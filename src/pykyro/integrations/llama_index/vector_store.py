"""A vector store of LlamaIndex, for callers that wait and for coroutines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)

import pykyro
from pykyro.integrations.llama_index.filters import Filter, filter_of
from pykyro.integrations.llama_index.nodes import SOURCE_KEY, TEXT_KEY, node_of, rows_of
from pykyro.integrations.llama_index.queries import Asked, result_of
from pykyro.integrations.places import Given, Place
from pykyro.integrations.store_collection import (
    StoreCollection,
    every_document,
    found,
    require_stored,
    words_under,
)


class KyroVectorStore(BasePydanticVectorStore):
    """Nodes in a collection whose ids are text; their metadata keeps its types.

    `async_add` and the methods whose names begin with "a" are for coroutines, and the event loop goes on while they
    wait. Errors are those of pykyro.
    """

    stores_text: bool = True
    is_embedding_query: bool = True

    _place: Place = PrivateAttr()
    _collection: StoreCollection = PrivateAttr()
    _namespace: str = PrivateAttr()
    _with_text: bool = PrivateAttr()

    def __init__(
        self,
        collection: str = "llama_index",
        *,
        path: str | PathLike[str] | None = None,
        url: str | None = None,
        database: Given | None = None,
        api_key: str | None = None,
        tls: pykyro.Tls | bool = False,
        timeout_s: float = 30.0,
        distance: pykyro.Distance = "cosine",
        create: bool = True,
        namespace: str = "",
        text_language: str | None = None,
    ) -> None:
        """Exactly one of these says where the nodes are: `path`, a directory, opened in this process; `url`, the
        host:port of a server, with `api_key`, `tls` and `timeout_s` as for pykyro.Client; `database`, a Database, a
        client, or a collection of either, which then stays the program's to close.

        The collection is made by the first write, with `distance` ("cosine", "euclidean", "innerproduct"); until then
        queries find nothing. Without `create` it must be there.

        With a `text_language`, one of docs/words.md or "simple", a collection that is made here also finds the words
        of nodes: the modes TEXT_SEARCH, SPARSE and HYBRID. One that is there has what it was created with.

        Raises InvalidArgument, and what `pykyro.open` and `pykyro.Client` raise.
        """
        super().__init__(stores_text=True)
        place = Place(path=path, url=url, database=database, api_key=api_key, tls=tls, timeout_s=timeout_s)
        self._place = place
        self._collection = StoreCollection(
            place, collection, distance=distance, create=create, text=words_under(TEXT_KEY, text_language)
        )
        self._with_text = text_language is not None
        self._namespace = namespace

    @classmethod
    def class_name(cls) -> str:
        """What LlamaIndex calls it."""
        return "KyroVectorStore"

    @property
    def client(self) -> Given:
        """The Database, client or collection the nodes are in."""
        return self._place.database

    # --- writes ---

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Store nodes that have embeddings, each replacing what has its id; their ids.

        Raises InvalidArgument when metadata cannot be stored, ids among them; what else `insert_many` raises.
        """
        rows = rows_of(nodes, with_text=self._with_text)
        if rows:
            collection = self._collection.to_write(len(rows[0][1]))
            require_stored(collection.insert_many(rows, self._namespace))
        return [node_id for node_id, _, _ in rows]

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """`add` for coroutines."""
        rows = rows_of(nodes, with_text=self._with_text)
        if rows:
            collection = await self._collection.ato_write(len(rows[0][1]))
            require_stored(await collection.insert_many(rows, self._namespace))
        return [node_id for node_id, _, _ in rows]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes that were cut from this document."""
        self._delete(None, {SOURCE_KEY: ref_doc_id})

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """`delete` for coroutines."""
        await self._adelete(None, {SOURCE_KEY: ref_doc_id})

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """Delete the nodes with these ids, or those that match; with both, those of the ids that match. Raises
        InvalidArgument without either: `clear` removes all."""
        self._delete(*_criteria(node_ids, filters))

    async def adelete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """`delete_nodes` for coroutines."""
        await self._adelete(*_criteria(node_ids, filters))

    def clear(self) -> None:
        """Delete all nodes of the collection and namespace."""
        if (collection := self._collection.to_read()) is not None:
            collection.clear(self._namespace)

    async def aclear(self) -> None:
        """`clear` for coroutines."""
        if (collection := await self._collection.ato_read()) is not None:
            await collection.clear(self._namespace)

    # --- reads ---

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """The nodes with these ids that are there, in the order of the ids; or those that match, in no
        stated order; with both, those of the ids that match; without either all. Without their embeddings."""
        collection = self._collection.to_read()
        if collection is None:
            return []
        if node_ids is not None and filters is None:
            return _nodes(found(collection.get_many(node_ids, self._namespace, include_vectors=False)))
        return _nodes(collection.documents(filter=filter_of(filters, node_ids), namespace=self._namespace))

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """`get_nodes` for coroutines."""
        collection = await self._collection.ato_read()
        if collection is None:
            return []
        if node_ids is not None and filters is None:
            return _nodes(found(await collection.get_many(node_ids, self._namespace, include_vectors=False)))
        return _nodes(await every_document(collection, filter_of(filters, node_ids), self._namespace))

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The `similarity_top_k` nodes most similar to the embedding of the query, with their scores: higher is more
        similar.

        Modes are DEFAULT; TEXT_SEARCH and SPARSE, by the words of the query; HYBRID, by both, fused by ranks, or by
        weighted scores where the query has an `alpha` (1: the vector alone); and MMR, which has `mmr_threshold` (0
        most diverse, 1 most similar) and picks from `mmr_prefetch_k` nodes, by default four times as many as are
        asked for. `kwargs` are also `ef_search`, `exact`, `min_score` and `fuse` of a search. Raises InvalidArgument,
        for modes that are not there too.
        """
        asked = Asked.of(query, kwargs)
        collection = self._collection.to_read()
        if collection is None:
            return result_of([])
        return asked.result(collection.search(**asked.search, namespace=self._namespace))

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """`query` for coroutines."""
        asked = Asked.of(query, kwargs)
        collection = await self._collection.ato_read()
        if collection is None:
            return result_of([])
        return asked.result(await collection.search(**asked.search, namespace=self._namespace))

    # --- the store itself ---

    def close(self) -> None:
        """Close what the store opened, not what it was given. Closing twice is allowed."""
        self._place.close()

    async def aclose(self) -> None:
        """`close` for coroutines; it also closes the client of this event loop."""
        await self._place.aclose()

    # --- steps ---

    def _delete(self, node_ids: list[str] | None, condition: Filter | None) -> None:
        if (collection := self._collection.to_read()) is not None:
            collection.delete_many(node_ids, filter=condition, namespace=self._namespace)

    async def _adelete(self, node_ids: list[str] | None, condition: Filter | None) -> None:
        if (collection := await self._collection.ato_read()) is not None:
            await collection.delete_many(node_ids, filter=condition, namespace=self._namespace)


def _criteria(
    node_ids: list[str] | None, filters: MetadataFilters | None
) -> tuple[list[str] | None, Filter | None]:
    """What `delete_many` is to be told."""
    if filters is not None and filters.filters:
        return None, filter_of(filters, node_ids)
    if node_ids is None:
        raise pykyro.InvalidArgument(
            "give node_ids, or filters that name a condition; clear() removes all nodes", field="node_ids"
        )
    return node_ids, None


def _nodes(stored: Iterable[pykyro.StoredDocument]) -> list[BaseNode]:
    return [node_of(document) for document in stored]
