"""LlamaIndex's queries: what they ask of a collection, and what is made of its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from llama_index.core.vector_stores.types import (
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

import pykyro
from pykyro.integrations.diversity import most_relevant_and_diverse
from pykyro.integrations.llama_index.filters import filter_of
from pykyro.integrations.llama_index.nodes import node_of

_PREFETCH_FACTOR: Final = 4
"""Times as many nodes as are asked for, from which MMR picks."""
_K_MAX: Final = 1000
"""Documents that one search finds."""
_RELEVANCE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Asked:
    """A query, checked."""

    search: dict[str, Any]
    """Arguments of a collection's `search`, but its namespace."""
    k: int
    relevance: float | None
    """Of maximal marginal relevance; None for what is similar alone."""

    @classmethod
    def of(cls, query: VectorStoreQuery, options: Mapping[str, Any]) -> Self:
        """What `query` asks; `options` are for the search, and those of MMR. Raises InvalidArgument."""
        rest, k = dict(options), query.similarity_top_k
        threshold, prefetch = rest.pop("mmr_threshold", query.mmr_threshold), rest.pop("mmr_prefetch_k", None)
        search: dict[str, Any] = rest | {
            # An index that does not restrict a query sends empty lists.
            "filter": filter_of(query.filters, query.node_ids or None, query.doc_ids or None),
        }
        match query.mode:
            case VectorStoreQueryMode.DEFAULT:
                return cls(search | {"k": k, "vector": _vector(query)}, k, None)
            case VectorStoreQueryMode.TEXT_SEARCH | VectorStoreQueryMode.SPARSE:
                k = query.sparse_top_k or k
                return cls(search | {"k": k, "text": _text(query)}, k, None)
            case VectorStoreQueryMode.HYBRID:
                k = query.hybrid_top_k or k
                fuse = {} if query.alpha is None else {"fuse": _weights(query.alpha)}
                legs = {"k": k, "vector": _vector(query), "text": _text(query)}
                return cls(search | legs | fuse, k, None)
            case VectorStoreQueryMode.MMR:
                fetched = min(k * _PREFETCH_FACTOR, _K_MAX) if prefetch is None else int(prefetch)
                search |= {"k": max(k, fetched), "include_vectors": True, "vector": _vector(query)}
                return cls(search, k, _RELEVANCE if threshold is None else threshold)
            case _:
                raise pykyro.InvalidArgument(
                    f"mode must be default, text_search, sparse, hybrid or mmr, got {query.mode.value}",
                    field="mode",
                )

    def result(self, hits: Sequence[pykyro.Hit]) -> VectorStoreQueryResult:
        """The nodes, their scores and ids, of what the search found."""
        if self.relevance is None:
            return result_of(hits)
        vectors = [hit.vector for hit in hits if hit.vector is not None]
        picked = most_relevant_and_diverse(self.search["vector"], vectors, self.k, self.relevance)
        return result_of([hits[at] for at, _ in picked])


def _vector(query: VectorStoreQuery) -> list[float]:
    if query.query_embedding is None:
        raise pykyro.InvalidArgument(
            f"query_embedding must be there: mode {query.mode.value} searches by vectors",
            field="query_embedding",
        )
    return query.query_embedding


def _text(query: VectorStoreQuery) -> str:
    if query.query_str is None:
        raise pykyro.InvalidArgument(
            f"query_str must be there: mode {query.mode.value} searches by words", field="query_str"
        )
    return query.query_str


def _weights(alpha: float) -> dict[str, dict[str, float]]:
    if not 0.0 <= alpha <= 1.0:
        raise pykyro.InvalidArgument(f"alpha must be from 0 to 1, got {alpha}", field="alpha")
    return {"weights": {"vector": alpha, "text": 1.0 - alpha}}


def result_of(hits: Sequence[pykyro.Hit]) -> VectorStoreQueryResult:
    """Hits as LlamaIndex has them."""
    return VectorStoreQueryResult(
        nodes=[node_of(hit) for hit in hits],
        similarities=[hit.score for hit in hits],
        ids=[str(hit.id) for hit in hits],
    )
