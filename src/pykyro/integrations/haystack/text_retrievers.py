"""Components of Haystack's pipelines that search a KyroDocumentStore, made with a `text_language`, by words, alone or
together with embeddings."""

from __future__ import annotations

from typing import Any

from haystack import component
from haystack.dataclasses import Document

from pykyro.integrations.haystack.retriever import Retriever


@component
class KyroBM25Retriever(Retriever):
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
class KyroHybridRetriever(Retriever):
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
