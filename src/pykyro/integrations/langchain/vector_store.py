"""A VectorStore of LangChain, for callers that wait and for coroutines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from types import TracebackType
from typing import Any, Final, Self

from langchain_core.embeddings import Embeddings

import pykyro
from pykyro.integrations.langchain.rows import CONTENT_KEY, Row, rows_of
from pykyro.integrations.langchain.searches import Filter, Searches
from pykyro.integrations.places import Given, Place
from pykyro.integrations.store_collection import StoreCollection, require_stored, words_under


class KyroVectorStore(Searches):
    """Documents in a collection whose ids are text; their metadata keeps its types.

    Methods whose names begin with "a" are for coroutines, and the event loop goes on while they wait. Every search
    takes `filter`, and what else `search` of a collection takes: `ef_search`, `min_score`, `exact`. Errors are those
    of pykyro.
    """

    def __init__(
        self,
        embedding: Embeddings,
        collection: str = "langchain",
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
        content_key: str = CONTENT_KEY,
        text_language: str | None = None,
    ) -> None:
        """Exactly one of these says where the documents are: `path`, a directory, opened in this process; `url`, the
        host:port of a server, with `api_key`, `tls` and `timeout_s` as for pykyro.Client; `database`, a Database, a
        client, or a collection of either, which then stays the program's to close.

        The collection is made by the first write, with `distance` ("cosine", "euclidean", "innerproduct"); until then
        searches find nothing. Without `create` it must be there. `content_key` is the metadata entry that holds
        `page_content`.

        With a `text_language`, one of docs/words.md or "simple", a collection that is made here also finds the words
        of documents: searches with `mode` "text" or "hybrid". One that is there has what it was created with.

        Raises InvalidArgument, and what `pykyro.open` and `pykyro.Client` raise.
        """
        place = Place(path=path, url=url, database=database, api_key=api_key, tls=tls, timeout_s=timeout_s)
        self._place: Final = place
        self._collection = StoreCollection(
            place, collection, distance=distance, create=create, text=words_under(content_key, text_language)
        )
        self._embedding = embedding
        self._namespace = namespace
        self._content_key = content_key

    @property
    def database(self) -> Given:
        """The Database, client or collection the documents are in."""
        return self._place.database

    # --- writes ---

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Embed and store texts, each replacing what has its id; their ids, new UUIDs where none is given.

        Raises InvalidArgument when metadata cannot be stored, ids among them; what else `insert_many` raises.
        """
        listed = list(texts)
        return self._insert(self._rows(listed, self._embedding.embed_documents(listed), metadatas, ids))

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """`add_texts` for coroutines."""
        listed = list(texts)
        vectors = await self._embedding.aembed_documents(listed)
        return await self._ainsert(self._rows(listed, vectors, metadatas, ids))

    def add_embeddings(
        self,
        text_embeddings: Iterable[tuple[str, Sequence[float]]],
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
    ) -> list[str]:
        """Store texts whose vectors are known, as `add_texts` does."""
        pairs = list(text_embeddings)
        return self._insert(
            self._rows([text for text, _ in pairs], [one for _, one in pairs], metadatas, ids)
        )

    async def aadd_embeddings(
        self,
        text_embeddings: Iterable[tuple[str, Sequence[float]]],
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
    ) -> list[str]:
        """`add_embeddings` for coroutines."""
        pairs = list(text_embeddings)
        rows = self._rows([text for text, _ in pairs], [one for _, one in pairs], metadatas, ids)
        return await self._ainsert(rows)

    def delete(
        self, ids: Sequence[str] | None = None, *, filter: Filter | None = None, **kwargs: Any
    ) -> bool:
        """Delete the documents with these ids, or those that `filter` matches; without either, as LangChain has it,
        all of the collection and namespace. True, also for ids that are not there."""
        collection = self._collection.to_read()
        if collection is None:
            return True
        if ids is None and filter is None:
            collection.clear(self._namespace)
        else:
            collection.delete_many(ids, filter=filter, namespace=self._namespace)
        return True

    async def adelete(
        self, ids: Sequence[str] | None = None, *, filter: Filter | None = None, **kwargs: Any
    ) -> bool:
        """`delete` for coroutines."""
        collection = await self._collection.ato_read()
        if collection is None:
            return True
        if ids is None and filter is None:
            await collection.clear(self._namespace)
        else:
            await collection.delete_many(ids, filter=filter, namespace=self._namespace)
        return True

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        embedding: Embeddings,
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> Self:
        """A store made with `kwargs`, and these texts in it."""
        store = cls(embedding, **kwargs)
        try:
            store.add_texts(texts, metadatas, ids=ids)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: Iterable[str],
        embedding: Embeddings,
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> Self:
        """`from_texts` for coroutines."""
        store = cls(embedding, **kwargs)
        try:
            await store.aadd_texts(texts, metadatas, ids=ids)
        except BaseException:
            await store.aclose()
            raise
        return store

    # --- the store itself ---

    def close(self) -> None:
        """Close what the store opened, not what it was given. Closing twice is allowed."""
        self._place.close()

    async def aclose(self) -> None:
        """`close` for coroutines; it also closes the client of this event loop."""
        await self._place.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # --- steps ---

    def _rows(
        self,
        texts: Sequence[str],
        vectors: Sequence[Sequence[float]],
        metadatas: Sequence[Mapping[str, Any]] | None,
        ids: Sequence[str | None] | None,
    ) -> list[Row]:
        return rows_of(texts, vectors, metadatas, ids, self._content_key)

    def _insert(self, rows: list[Row]) -> list[str]:
        if rows:
            collection = self._collection.to_write(len(rows[0][1]))
            require_stored(collection.insert_many(rows, self._namespace))
        return [doc_id for doc_id, _, _ in rows]

    async def _ainsert(self, rows: list[Row]) -> list[str]:
        if rows:
            collection = await self._collection.ato_write(len(rows[0][1]))
            require_stored(await collection.insert_many(rows, self._namespace))
        return [doc_id for doc_id, _, _ in rows]
