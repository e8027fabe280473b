"""Searches by words, alone and together with vectors, by each framework's own calls."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from haystack import Document as HaystackDocument
from haystack import Pipeline
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from llama_index.core import Document as LlamaDocument
from llama_index.core import MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode
from mcp import Client
from tests.server.running import RunningServer

import pykyro
import pykyro.haystack as of_haystack
import pykyro.langchain as of_langchain
import pykyro.llama_index as of_llama_index
from pykyro.integrations.mcp.server import make_server

TEXTS = {"a": "foxes jump over dogs", "b": "the disk is full", "c": "a fox on a disk"}
VECTORS = {"a": [1.0, 0.0], "b": [0.0, 1.0], "c": [0.6, 0.8]}


class Known(Embeddings):
    """The vectors of the texts above; any other text is near the first of them."""

    def embed_query(self, text: str) -> list[float]:
        return next((VECTORS[key] for key, known in TEXTS.items() if known == text), VECTORS["a"])

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


def test_langchain(tmp_path: Path) -> None:
    with of_langchain.KyroVectorStore(Known(), path=tmp_path, text_language="english") as store:
        store.add_documents([Document(id=key, page_content=text) for key, text in TEXTS.items()])

        def found(query: str, **said: Any) -> list[str | None]:
            sync = [one.id for one in store.similarity_search(query, **said)]
            assert [one.id for one in asyncio.run(store.asimilarity_search(query, **said))] == sync
            scored = store.similarity_search_with_score(query, **said)
            assert asyncio.run(store.asimilarity_search_with_score(query, **said)) == scored
            assert [one.id for one, _ in scored] == sync
            return sync

        assert found("full disks", mode="text") == ["b", "c"]
        assert found("full disks") == ["a", "c", "b"]
        assert found("full disks", mode="hybrid", k=2, fuse={"rrf": {"text": 3}}) == ["b", "c"]
        assert found("fox", mode="text", k=1, filter={"__id__": "c"}) == ["c"]
        with pytest.raises(pykyro.InvalidArgument, match="mode must be one of vector, text, hybrid"):
            store.similarity_search("a", mode="words")
        retriever = store.as_retriever(search_kwargs={"mode": "text"})
        assert [one.id for one in retriever.invoke('"disk is"')] == ["b"]


def test_a_collection_without_words_says_so(tmp_path: Path) -> None:
    with of_langchain.KyroVectorStore(Known(), path=tmp_path) as store:
        store.add_documents([Document(id="a", page_content=TEXTS["a"])])
        with pytest.raises(pykyro.FailedPrecondition, match="created without text options"):
            store.similarity_search("fox", mode="text")


def test_llama_index(tmp_path: Path) -> None:
    store = of_llama_index.KyroVectorStore(path=tmp_path, text_language="english")
    store.add([TextNode(id_=key, text=text, embedding=VECTORS[key]) for key, text in TEXTS.items()])

    def found(mode: VectorStoreQueryMode, **said: Any) -> list[str] | None:
        asked = VectorStoreQuery(
            query_str="full disks", query_embedding=[1.0, 0.0], similarity_top_k=2, mode=mode, **said
        )
        sync = store.query(asked)
        assert asyncio.run(store.aquery(asked)).ids == sync.ids
        assert sync.nodes is not None
        assert all("_node_text" not in one.metadata for one in sync.nodes)
        return sync.ids

    assert found(VectorStoreQueryMode.DEFAULT) == ["a", "c"]
    assert found(VectorStoreQueryMode.TEXT_SEARCH) == ["b", "c"]
    assert found(VectorStoreQueryMode.SPARSE, sparse_top_k=1) == ["b"]
    assert found(VectorStoreQueryMode.HYBRID, alpha=0.0) == ["b", "c"]
    assert found(VectorStoreQueryMode.HYBRID, alpha=1.0) == ["a", "c"]
    assert found(VectorStoreQueryMode.HYBRID, hybrid_top_k=1) == ["b"]
    with pytest.raises(pykyro.InvalidArgument, match="alpha must be from 0 to 1"):
        found(VectorStoreQueryMode.HYBRID, alpha=2.0)
    with pytest.raises(pykyro.InvalidArgument, match="query_str must be there"):
        store.query(VectorStoreQuery(query_embedding=[1.0, 0.0], mode=VectorStoreQueryMode.TEXT_SEARCH))
    store.close()


def test_the_index_of_llama_index(tmp_path: Path) -> None:
    store = of_llama_index.KyroVectorStore(path=tmp_path, text_language="english")
    index = VectorStoreIndex.from_documents(
        [LlamaDocument(text=text) for text in TEXTS.values()],
        StorageContext.from_defaults(vector_store=store),
        embed_model=MockEmbedding(embed_dim=4),
    )
    retriever = index.as_retriever(vector_store_query_mode="text_search", similarity_top_k=1)
    assert [one.node.get_content() for one in retriever.retrieve("disk fox")] == [TEXTS["c"]]
    store.close()


def test_haystack(tmp_path: Path) -> None:
    store = of_haystack.KyroDocumentStore(path=str(tmp_path), embedding_dim=2, text_language="english")
    documents = [
        HaystackDocument(id=key, content=text, embedding=VECTORS[key]) for key, text in TEXTS.items()
    ]
    store.write_documents([*documents, HaystackDocument(id="d", content="no embedding, a full disk")])
    pipeline = Pipeline()
    pipeline.add_component("words", of_haystack.KyroBM25Retriever(store, top_k=3))
    pipeline.add_component("both", of_haystack.KyroHybridRetriever(store, top_k=2))
    store.close()
    read = Pipeline.loads(pipeline.dumps(), allowed_modules=["pykyro"])
    asked = {"words": {"query": "full disk"}, "both": {"query": "full disks", "query_embedding": [1.0, 0.0]}}
    answer = read.run(asked)
    assert sorted(one.id for one in answer["words"]["documents"]) == ["b", "c", "d"]
    assert [one.id for one in answer["both"]["documents"]] == ["b", "c"]

    words: Any = read.get_component("words")
    both: Any = read.get_component("both")
    assert asyncio.run(words.run_async("fox disk", top_k=1))["documents"][0].id == "c"
    assert asyncio.run(both.run_async("fox", [1.0, 0.0], top_k=1))["documents"][0].id == "a"
    with pytest.raises(ValueError, match="top_k must be greater than 0"):
        of_haystack.KyroBM25Retriever(store, top_k=0)


def test_a_store_for_coroutines_makes_a_collection_with_words(server: RunningServer) -> None:
    async def program() -> list[str | None]:
        store = of_langchain.KyroVectorStore(
            Known(), "awaited_words", url=f"localhost:{server.port}", text_language="english"
        )
        await store.aadd_documents([Document(id=key, page_content=text) for key, text in TEXTS.items()])
        found = await store.asimilarity_search("full disks", mode="text")
        await store.aclose()
        return [one.id for one in found]

    assert asyncio.run(program()) == ["b", "c"]
    with pykyro.Client(f"localhost:{server.port}") as client:
        client.drop_collection("awaited_words")


@pytest.mark.anyio
async def test_the_tool_of_mcp(tmp_path: Path) -> None:
    with pykyro.open(tmp_path) as database:
        pages = database.create_collection(
            "pages", 2, id_type="text", text={"keys": ["body"], "language": "english"}
        )
        pages.insert_many([(key, VECTORS[key], {"body": text}) for key, text in TEXTS.items()])
        database.create_collection("plain", 2)
        async with Client(make_server(database, "pages")) as client:

            async def told(tool: str, **arguments: Any) -> Any:
                result = await client.call_tool(tool, arguments)
                return result.structured_content if not result.is_error else str(result.content)

            assert [one["id"] for one in (await told("search_text", text="full disks"))["hits"]] == ["b", "c"]
            both = await told("search_text", text="full disks", vector=[0.6, 0.8], k=1)
            assert [one["id"] for one in both["hits"]] == ["b"]
            assert (await told("list_collections"))["collections"][0]["text_keys"] == ["body"]
            assert "created without text options" in await told(
                "search_text", text="disk", collection="plain"
            )
