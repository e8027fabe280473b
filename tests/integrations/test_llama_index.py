"""The store for LlamaIndex: nodes, queries and deletions, at each kind of place."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Document, MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core.schema import (
    BaseNode,
    ImageNode,
    IndexNode,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.types import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from tests.integrations.places import KINDS, place
from tests.server.running import RunningServer

import pykyro
from pykyro.llama_index import KyroVectorStore


def node(node_id: str, x: float, y: float, source: str, **metadata: Any) -> TextNode:
    return TextNode(
        id_=node_id,
        text=f"text of {node_id}",
        embedding=[x, y],
        metadata=metadata,
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=source)},
    )


NODES = [
    node("e", 1, 0, "book", year=2020, tags=["a", "b"]),
    node("r", 1, 0.1, "book", year=2021, at=datetime(2024, 1, 2, tzinfo=UTC)),
    node("n", 1, 0.2, "mail", year=2022, doc_id="mine", nothing=None),
    node("o", 0, 1, "mail", author={"name": "Ada"}),
]


def years(operator: FilterOperator, year: int) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key="year", value=year, operator=operator)])


SINCE_2021 = years(FilterOperator.GTE, 2021)


def asking(k: int = 4, **more: Any) -> VectorStoreQuery:
    return VectorStoreQuery(query_embedding=[1.0, 0.0], similarity_top_k=k, **more)


def ids(nodes: Any) -> list[str]:
    return [one.node_id for one in nodes]


def plain(one: BaseNode) -> BaseNode:
    """As it comes back: without its embedding."""
    return one.model_copy(update={"embedding": None})


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path, server: RunningServer) -> Iterator[KyroVectorStore]:
    """A store with NODES, at each kind of place."""
    with place(request.param, tmp_path / "data", f"127.0.0.1:{server.port}", 2) as arguments:
        store = KyroVectorStore(**arguments)
        assert store.query(asking()).ids == []
        assert store.add(NODES) == ["e", "r", "n", "o"]
        yield store
        store.close()


def test_every_place_answers_alike(store: KyroVectorStore) -> None:
    assert store.get_nodes(["o", "none", "e"]) == [plain(NODES[3]), plain(NODES[0])]
    assert ids(sorted(store.get_nodes(), key=lambda one: one.node_id)) == ["e", "n", "o", "r"]
    assert ids(store.get_nodes(["e", "n"], SINCE_2021)) == ["n"]
    found = store.query(asking(2))
    assert (found.ids, found.nodes) == (["e", "r"], [plain(NODES[0]), plain(NODES[1])])
    assert found.similarities == [1.0, pytest.approx(1 / 1.01**0.5)]
    assert store.query(asking(filters=SINCE_2021)).ids == ["r", "n"]
    assert store.query(asking(node_ids=["o", "n"])).ids == ["n", "o"]
    assert store.query(asking(doc_ids=["book"], filters=SINCE_2021)).ids == ["r"]
    mmr = asking(2, mode=VectorStoreQueryMode.MMR, mmr_threshold=0.3)
    assert store.query(mmr).ids == ["e", "o"]
    assert store.query(mmr, mmr_prefetch_k=2).ids == ["e", "r"]

    store.delete("mail")
    store.delete("none")
    store.delete_nodes(["e", "r"], SINCE_2021)
    assert store.query(asking()).ids == ["e"]
    store.delete_nodes(["e", "none"])
    assert store.query(asking()).ids == []
    store.add(NODES[:2])
    store.delete_nodes(filters=SINCE_2021)
    assert store.query(asking()).ids == ["e"]
    store.clear()
    assert store.get_nodes() == []


@pytest.mark.anyio
async def test_coroutines_answer_as_methods_do(store: KyroVectorStore) -> None:
    assert await store.aget_nodes(["o", "none"]) == [plain(NODES[3])]
    assert set(ids(await store.aget_nodes(filters=SINCE_2021))) == {"n", "r"}
    assert (await store.aquery(asking(2))).ids == ["e", "r"]
    await store.adelete("mail")
    await store.adelete_nodes(["e"])
    assert ids(await store.aget_nodes()) == ["r"]
    await store.async_add(NODES[2:])
    await store.adelete_nodes(filters=SINCE_2021)
    assert (await store.aquery(asking())).ids == ["o"]
    await store.aclear()
    assert await store.aquery(asking()) == VectorStoreQueryResult(nodes=[], similarities=[], ids=[])
    if store.client.__class__ is pykyro.Client:
        await store.aclose()


@pytest.mark.anyio
async def test_a_store_of_an_async_client_serves_coroutines_alone(server: RunningServer) -> None:
    async with pykyro.AsyncClient(f"127.0.0.1:{server.port}") as client:
        store = KyroVectorStore("awaited_nodes", database=client)
        await store.async_add(NODES)
        with pytest.raises(pykyro.FailedPrecondition, match="AsyncClient"):
            store.query(asking())
        assert (await store.aquery(asking(1))).ids == ["e"]


def test_an_index_on_it(tmp_path: Path) -> None:
    store = KyroVectorStore(path=tmp_path / "data")
    documents = [Document(text=f"page {at}", doc_id=f"page-{at}", metadata={"at": at}) for at in range(3)]
    embedding = MockEmbedding(embed_dim=4)
    index = VectorStoreIndex.from_documents(
        documents, StorageContext.from_defaults(vector_store=store), embed_model=embedding
    )
    found = index.as_retriever(
        similarity_top_k=9,
        filters=MetadataFilters(filters=[MetadataFilter(key="at", value=0, operator=FilterOperator.GT)]),
    ).retrieve("which page?")
    assert {one.node.get_content() for one in found} == {"page 1", "page 2"}
    index.delete_ref_doc("page-1")
    opened = VectorStoreIndex.from_vector_store(store, embed_model=embedding)
    assert {one.node.ref_doc_id for one in opened.as_retriever(similarity_top_k=9).retrieve("?")} == {
        "page-0",
        "page-2",
    }
    store.close()


def test_kinds_of_nodes_come_back(tmp_path: Path) -> None:
    store = KyroVectorStore(path=tmp_path / "data")
    nodes: list[BaseNode] = [
        Node(id_="a", embedding=[1.0, 0.0], extra_info={"x": 1.5}),
        ImageNode(id_="b", text="of a cat", image_url="https://example.org/cat.png", embedding=[1.0, 0.0]),
        IndexNode(id_="c", text="see there", index_id="there", embedding=[1.0, 0.0]),
    ]
    store.add(nodes)
    assert store.get_nodes(["a", "b", "c"]) == [plain(one) for one in nodes]
    store.close()


def test_what_cannot_be_done_is_refused(tmp_path: Path) -> None:
    with pykyro.open(tmp_path / "data") as database:
        pages = database.create_collection("pages", 2, id_type="text")
        store = KyroVectorStore(database=pages)
        with pytest.raises(pykyro.InvalidArgument, match="has no embedding"):
            store.add([TextNode(text="x")])
        with pytest.raises(pykyro.InvalidArgument, match="clear"):
            store.delete_nodes()
        with pytest.raises(pykyro.InvalidArgument, match="query_embedding"):
            store.query(VectorStoreQuery(query_str="words"))
        by_words = {
            VectorStoreQueryMode.TEXT_SEARCH,
            VectorStoreQueryMode.SPARSE,
            VectorStoreQueryMode.HYBRID,
        }
        for mode in by_words:
            with pytest.raises(pykyro.InvalidArgument, match=f"mode {mode.value} searches by words"):
                store.query(asking(mode=mode))
            with pytest.raises(pykyro.FailedPrecondition, match="created without text options"):
                store.query(asking(mode=mode, query_str="words"))
        for mode in (
            set(VectorStoreQueryMode) - by_words - {VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR}
        ):
            with pytest.raises(pykyro.InvalidArgument, match=f"hybrid or mmr, got {mode.value}"):
                store.query(asking(mode=mode))
        pages.insert("other", [1, 0], {"text": "not a node"})
        with pytest.raises(pykyro.FailedPrecondition, match="'other' was not stored by LlamaIndex"):
            store.get_nodes(["other"])
