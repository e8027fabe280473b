"""Components of Haystack's pipelines that search a KyroDocumentStore by words, alone or together with embeddings."""

from __future__ import annotations

from typing import Any, Self

from haystack import component, default_from_dict, default_to_dict
from haystack.dataclasses import Document
from haystack.document_stores.types import FilterPolicy, apply_filter_policy

from pykyro.integrations.haystack.document_store import KyroDocumentStore


class _Retriever:
    """What both have: a store that was made with a `text_language`, and what holds for runs that do not say."""

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
        return default_to_dict(
            self,
            document_store=self.document_store.to_dict(),
            filters=self.filters,
            top_k=self.top_k,
            filter_policy=self.filter_policy.value,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The component that `to_dict` has written."""
        parameters = data["init_parameters"]
        parameters["document_store"] = KyroDocumentStore.from_dict(parameters["document_store"])
        parameters["filter_policy"] = FilterPolicy.from_str(parameters["filter_policy"])
        retriever: Self = default_from_dict(cls, data)
        return retriever

    def _asked(self, filters: dict[str, Any] | None, top_k: int | None) -> dict[str, Any]:
        return {
            "filters": apply_filter_policy(self.filter_policy, self.filters, filters),
            "top_k": self.top_k if top_k is None else top_k,
        }


@component
class KyroBM25Retriever(_Retriever):
    """Finds the documents that have the words of the query, by BM25."""

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """`documents`: the best ones with their scores, best first."""
        return {"documents": self.document_store.text_retrieval(query, **self._asked(filters, top_k))}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """`run` for coroutines."""
        found = await self.document_store.text_retrieval_async(query, **self._asked(filters, top_k))
        return {"documents": found}


@component
class KyroHybridRetriever(_Retriever):
    """Finds the documents that are best by the words of the query and by its embedding together."""

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[Document]]:
        """`documents`: the best ones with their scores, best first."""
        asked = self._asked(filters, top_k)
        return {"documents": self.document_store.text_retrieval(query, query_embedding, **asked)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[Document]]:
        """`run` for coroutines."""
        found = await self.document_store.text_retrieval_async(
            query, query_embedding, **self._asked(filters, top_k)
        )
        return {"documents": found}
