"""Components of Haystack's pipelines that search a KyroDocumentStore, and what they have in common."""

from __future__ import annotations

from typing import Any, Self

from haystack import component, default_from_dict, default_to_dict
from haystack.dataclasses import Document
from haystack.document_stores.types import FilterPolicy, apply_filter_policy

from pykyro.integrations.haystack.document_store import KyroDocumentStore


class Retriever:
    """What all retrievers have: a store, and what holds for runs that do not say."""

    def __init__(
        self,
        document_store: KyroDocumentStore,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        filter_policy: FilterPolicy = FilterPolicy.REPLACE,
    ) -> None:
        """`filters` and `top_k` are for runs that do not say; `filter_policy` says whether the filters of a run
        replace these or are added. Raises ValueError when `top_k` is not above 0."""
        if top_k <= 0:
            raise ValueError(f"top_k must be greater than 0, got {top_k}")
        self.document_store = document_store
        self.filters = filters
        self.top_k = top_k
        self.filter_policy = filter_policy

    def to_dict(self) -> dict[str, Any]:
        """The component as Haystack writes it in a pipeline."""
        return default_to_dict(self, **self._parameters())

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The component that `to_dict` has written."""
        parameters = data["init_parameters"]
        parameters["document_store"] = KyroDocumentStore.from_dict(parameters["document_store"])
        parameters["filter_policy"] = FilterPolicy.from_str(parameters["filter_policy"])
        retriever: Self = default_from_dict(cls, data)
        return retriever

    def _parameters(self) -> dict[str, Any]:
        return {
            "document_store": self.document_store.to_dict(),
            "filters": self.filters,
            "top_k": self.top_k,
            "filter_policy": self.filter_policy.value,
        }

    def _asked(self, filters: dict[str, Any] | None, top_k: int | None) -> dict[str, Any]:
        return {
            "filters": apply_filter_policy(self.filter_policy, self.filters, filters),
            "top_k": self.top_k if top_k is None else top_k,
        }


@component
class KyroEmbeddingRetriever(Retriever):
    """Finds the documents whose embeddings are most similar to the query's."""

    def __init__(
        self,
        document_store: KyroDocumentStore,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        return_embedding: bool = False,
        filter_policy: FilterPolicy = FilterPolicy.REPLACE,
    ) -> None:
        """As for the other retrievers; `return_embedding` is for runs that do not say too."""
        # Not by super(): Haystack makes the decorated class anew, which super() does not know.
        Retriever.__init__(self, document_store, filters, top_k, filter_policy)
        self.return_embedding = return_embedding

    @component.output_types(documents=list[Document])
    def run(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        return_embedding: bool | None = None,
    ) -> dict[str, list[Document]]:
        """`documents`: the most similar ones with their scores, best first."""
        asked = self._asked(filters, top_k) | self._shown(return_embedding)
        return {"documents": self.document_store.embedding_retrieval(query_embedding, **asked)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        return_embedding: bool | None = None,
    ) -> dict[str, list[Document]]:
        """`run` for coroutines."""
        asked = self._asked(filters, top_k) | self._shown(return_embedding)
        return {"documents": await self.document_store.embedding_retrieval_async(query_embedding, **asked)}

    def _parameters(self) -> dict[str, Any]:
        return Retriever._parameters(self) | {"return_embedding": self.return_embedding}

    def _shown(self, return_embedding: bool | None) -> dict[str, Any]:
        return {"return_embedding": self.return_embedding if return_embedding is None else return_embedding}
