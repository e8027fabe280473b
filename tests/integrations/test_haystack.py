"""What the store and the retriever for Haystack do beyond Haystack's own test bases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from haystack import Pipeline
from haystack.components.writers import DocumentWriter
from haystack.dataclasses import ByteStream, Document, SparseEmbedding
from haystack.document_stores.types import DuplicatePolicy, FilterPolicy
from haystack.errors import FilterError
from haystack.utils import Secret
from tests.integrations.places import KINDS, place
from tests.server.running import RunningServer

import pykyro
from pykyro.haystack import KyroDocumentStore, KyroEmbeddingRetriever

DOCUMENTS = [
    Document(
        id="e",
        content="east",
        embedding=[1.0, 0.0],
        meta={"year": 2020, "tags": ["a"], "by": {"name": "Ada"}},
    ),
    Document(id="n", content="near", embedding=[1.0, 0.25], meta={"year": 2021}),
    Document(id="o", content="north", embedding=[0.0, 1.0], meta={"year": 2022}),
    Document(id="w", content="waits for its embedding", meta={"year": 2021}),
]
SINCE_2021 = {"field": "meta.year", "operator": ">=", "value": 2021}


@pytest.fixture(autouse=True)
def _nothing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")


@pytest.fixture(params=KINDS)
def store(
    request: pytest.FixtureRequest, tmp_path: Path, server: RunningServer
) -> Iterator[KyroDocumentStore]:
    """A store with DOCUMENTS, at each kind of place."""
    with place(request.param, tmp_path / "data", f"127.0.0.1:{server.port}", 2) as arguments:
        store = KyroDocumentStore(**arguments, embedding_dim=2)
        assert store.write_documents(DOCUMENTS) == 4
        yield store
        store.close()


def ids(documents: list[Document]) -> list[str]:
    return [document.id for document in documents]


@pytest.mark.anyio
async def test_every_place_answers_alike(store: KyroDocumentStore) -> None:
    found = store.embedding_retrieval([1.0, 0.0], top_k=9, return_embedding=True)
    assert ids(found) == ["e", "n", "o"]
    assert (found[0].score, found[1].embedding) == (1.0, [1.0, 0.25])
    again = await store.embedding_retrieval_async([1.0, 0.0], filters=SINCE_2021)
    assert [(one.id, one.embedding) for one in again] == [("n", None), ("o", None)]
    by_ada = {"field": "meta.by.name", "operator": "==", "value": "Ada"}
    assert ids(store.filter_documents(by_ada)) == ["e"]
    assert ids(await store.filter_documents_async({"field": "id", "operator": "in", "value": ["w"]})) == ["w"]
    assert ids(store.filter_documents({"field": "content", "operator": "==", "value": "near"})) == ["n"]
    assert store.update_by_filter(SINCE_2021, {"new": True}) == 3
    new = {"field": "meta.new", "operator": "==", "value": True}
    assert await store.count_documents_by_filter_async(new) == 3
    assert await store.delete_by_filter_async(new) == 3
    assert store.write_documents([*DOCUMENTS, DOCUMENTS[0]], DuplicatePolicy.SKIP) == 3
    assert store.count_documents() == 4
    if store._parameters["url"]:
        await store.close_async()


def test_a_document_comes_back_whole(tmp_path: Path) -> None:
    whole = Document(
        content="x",
        blob=ByteStream(b"\x00\xff", meta={"from": "camera"}, mime_type="image/png"),
        meta={"content": "mine", "nothing": None, "deep": {"list": [1, 2.5, {"x": None}]}},
        embedding=[0.5, 0.25],
        sparse_embedding=SparseEmbedding([3, 7], [0.1, 0.2]),
    )
    store = KyroDocumentStore(path=str(tmp_path / "data"), embedding_dim=2)
    store.write_documents([whole, Document(id="empty")])
    assert sorted(store.filter_documents(), key=lambda one: one.id == "empty") == [
        whole,
        Document(id="empty"),
    ]
    store.close()


@pytest.mark.anyio
async def test_pipelines_are_written_and_read(tmp_path: Path) -> None:
    store = KyroDocumentStore(path=str(tmp_path / "data"), embedding_dim=2)
    writing = Pipeline()
    writing.add_component("writer", DocumentWriter(store))
    assert writing.run({"writer": {"documents": DOCUMENTS}}) == {"writer": {"documents_written": 4}}
    asking = Pipeline()
    retriever = KyroEmbeddingRetriever(store, SINCE_2021, top_k=1, filter_policy=FilterPolicy.MERGE)
    asking.add_component("retriever", retriever)
    # The store that is read shares the directory with the one that has it open.
    read = Pipeline.loads(asking.dumps(), allowed_modules=["pykyro"])
    only = {"field": "content", "operator": "==", "value": "near"}
    for pipeline in (asking, read):
        answer = pipeline.run({"retriever": {"query_embedding": [0.0, 1.0]}})
        assert ids(answer["retriever"]["documents"]) == ["o"]
        answer = pipeline.run({"retriever": {"query_embedding": [0.0, 1.0], "filters": only, "top_k": 5}})
        assert ids(answer["retriever"]["documents"]) == ["n"]
    awaiting = Pipeline()
    awaiting.add_component("retriever", KyroEmbeddingRetriever(store))
    answer = await awaiting.run_async({"retriever": {"query_embedding": [0.0, 1.0], "top_k": 2}})
    assert ids(answer["retriever"]["documents"]) == ["o", "n"]
    store.close()
    component = read.get_component("retriever")
    assert isinstance(component, KyroEmbeddingRetriever)
    component.document_store.close()


def test_a_store_at_a_server_is_written_without_its_key() -> None:
    store = KyroDocumentStore(
        url="localhost:1", api_key=Secret.from_env_var("SOME_KEY", strict=False), tls=True
    )
    written = store.to_dict()
    assert written["init_parameters"]["api_key"]["env_vars"] == ["SOME_KEY"]
    assert KyroDocumentStore.from_dict(written).to_dict() == store.to_dict()


@pytest.mark.parametrize(
    "filters",
    [
        {"field": "meta.x", "operator": "like", "value": 1},
        {"field": "$or", "operator": "==", "value": 1},
        {"operator": "XOR", "conditions": []},
        {"operator": "AND", "conditions": {}},
        {"operator": "AND", "conditions": ["x"]},
    ],
)
def test_wrong_filters(tmp_path: Path, filters: dict[str, Any]) -> None:
    store = KyroDocumentStore(path=str(tmp_path / "data"))
    with pytest.raises(FilterError):
        store.filter_documents(filters)
    store.close()


def test_what_cannot_be_done_is_refused(tmp_path: Path) -> None:
    with pykyro.open(tmp_path / "data") as database:
        store = KyroDocumentStore(database=database, embedding_dim=2)
        with pytest.raises(pykyro.FailedPrecondition, match="cannot be written in a pipeline"):
            store.to_dict()
        with pytest.raises(pykyro.InvalidArgument, match="belongs to the document store"):
            store.write_documents([Document(content="x", meta={"__content__": "y"})])
        with pytest.raises(ValueError, match="top_k must be greater than 0"):
            KyroEmbeddingRetriever(store, top_k=0)
        with pytest.raises(pykyro.InvalidArgument, match="documents are not stored"):
            store.write_documents([DOCUMENTS[0], Document(content="x", embedding=[1.0])])
        with pytest.raises(pykyro.InvalidArgument, match="names no condition"):
            store.delete_by_filter({})
