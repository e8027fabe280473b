"""The half of the store that reads: searches, relevance, documents by their ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

import pykyro
from pykyro.integrations.diversity import most_relevant_and_diverse
from pykyro.integrations.langchain.rows import documents_of
from pykyro.integrations.store_collection import StoreCollection, found

MODES: Final = ("vector", "text", "hybrid")
Filter: TypeAlias = Mapping[str, Any]
"""A filter as pykyro has them: {"year": {"$gte": 2020}}."""


class Searches(VectorStore):
    """A store without its writes. Every search takes `filter`, and what else `search` of a collection takes:
    `ef_search`, `min_score`, `exact`."""

    _collection: StoreCollection
    _embedding: Embeddings
    _namespace: str
    _content_key: str

    @property
    def embeddings(self) -> Embeddings:
        """What makes vectors of texts."""
        return self._embedding

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents with these ids that are there, in the order of the ids."""
        collection = self._collection.to_read()
        if collection is None:
            return []
        documents = collection.get_many(ids, self._namespace, include_vectors=False)
        return self._documents(found(documents))

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """`get_by_ids` for coroutines."""
        collection = await self._collection.ato_read()
        if collection is None:
            return []
        documents = await collection.get_many(ids, self._namespace, include_vectors=False)
        return self._documents(found(documents))

    def similarity_search(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """The `k` documents most similar to `query` of those that match `filter`. With `mode` "text" those that have
        its words, by BM25; with "hybrid" by both, fused as `fuse` says; "vector" unless it is said."""
        text, options = _asked(query, kwargs)
        vector = None if text is None else self._embedding.embed_query(text)
        return self._documents(self._search(vector, k, filter, **options))

    async def asimilarity_search(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """`similarity_search` for coroutines."""
        text, options = _asked(query, kwargs)
        vector = None if text is None else await self._embedding.aembed_query(text)
        return self._documents(await self._asearch(vector, k, filter, **options))

    def similarity_search_by_vector(
        self, embedding: Sequence[float], k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """The same for a vector."""
        return self._documents(self._search(embedding, k, filter, **kwargs))

    async def asimilarity_search_by_vector(
        self, embedding: Sequence[float], k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """`similarity_search_by_vector` for coroutines."""
        return self._documents(await self._asearch(embedding, k, filter, **kwargs))

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Documents with their scores, higher is more similar: the cosine, the inner product, or for "euclidean"
        1 / (1 + distance). `mode` as for `similarity_search`: the scores are then those of BM25 or of the fusion."""
        text, options = _asked(query, kwargs)
        vector = None if text is None else self._embedding.embed_query(text)
        return self._scored(self._search(vector, k, filter, **options))

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """`similarity_search_with_score` for coroutines."""
        text, options = _asked(query, kwargs)
        vector = None if text is None else await self._embedding.aembed_query(text)
        return self._scored(await self._asearch(vector, k, filter, **options))

    def similarity_search_with_score_by_vector(
        self, embedding: Sequence[float], k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The same for a vector."""
        return self._scored(self._search(embedding, k, filter, **kwargs))

    async def asimilarity_search_with_score_by_vector(
        self, embedding: Sequence[float], k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """`similarity_search_with_score_by_vector` for coroutines."""
        return self._scored(await self._asearch(embedding, k, filter, **kwargs))

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """`k` documents of the `fetch_k` most similar ones, near `query` and unlike one another."""
        vector = self._embedding.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, filter, **kwargs)

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """`max_marginal_relevance_search` for coroutines."""
        vector = await self._embedding.aembed_query(query)
        return await self.amax_marginal_relevance_search_by_vector(
            vector, k, fetch_k, lambda_mult, filter, **kwargs
        )

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: Sequence[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """The same for a vector."""
        hits = self._search(embedding, max(k, fetch_k), filter, include_vectors=True, **kwargs)
        return self._diverse(embedding, hits, k, lambda_mult)

    async def amax_marginal_relevance_search_by_vector(
        self,
        embedding: Sequence[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """`max_marginal_relevance_search_by_vector` for coroutines."""
        hits = await self._asearch(embedding, max(k, fetch_k), filter, include_vectors=True, **kwargs)
        return self._diverse(embedding, hits, k, lambda_mult)

    # --- steps ---

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """From a score to a relevance of 0 to 1. LangChain asks for it before it searches, when the distance may not
        be known yet."""
        return lambda score: _relevance(score, self._collection.distance)

    def _search(
        self, vector: Sequence[float] | None, k: int, filter: Filter | None, **options: Any
    ) -> list[pykyro.Hit]:
        collection = self._collection.to_read()
        if collection is None:
            return []
        return list(collection.search(vector, k, filter=filter, namespace=self._namespace, **options))

    async def _asearch(
        self, vector: Sequence[float] | None, k: int, filter: Filter | None, **options: Any
    ) -> list[pykyro.Hit]:
        collection = await self._collection.ato_read()
        if collection is None:
            return []
        return list(await collection.search(vector, k, filter=filter, namespace=self._namespace, **options))

    def _documents(self, rows: Iterable[pykyro.Hit | pykyro.StoredDocument]) -> list[Document]:
        return documents_of(rows, self._content_key)

    def _scored(self, hits: list[pykyro.Hit]) -> list[tuple[Document, float]]:
        return list(zip(self._documents(hits), (hit.score for hit in hits), strict=True))

    def _diverse(
        self, vector: Sequence[float], hits: list[pykyro.Hit], k: int, lambda_mult: float
    ) -> list[Document]:
        vectors = [hit.vector for hit in hits if hit.vector is not None]
        picked = most_relevant_and_diverse(vector, vectors, k, lambda_mult)
        return self._documents(hits[at] for at, _ in picked)


def _asked(query: str, options: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """The text to embed, None where the search goes by words alone; and what else the search is told. Raises
    InvalidArgument."""
    rest = dict(options)
    mode = rest.pop("mode", "vector")
    if mode not in MODES:
        raise pykyro.InvalidArgument(
            f"mode must be one of {', '.join(MODES)}, got {mode!r:.100}", field="mode"
        )
    if mode == "vector":
        return query, rest
    return None if mode == "text" else query, rest | {"text": query}


def _relevance(score: float, distance: str) -> float:
    """A score as 0 to 1: of "euclidean" it is that already, a cosine or inner product of -1 to 1 is moved there.
    Inner products beyond that, of vectors that are not of length 1, become 0 or 1."""
    return score if distance == "euclidean" else min(max((score + 1) / 2, 0.0), 1.0)
