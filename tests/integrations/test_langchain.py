"""What the store for LangChain does beyond LangChain's own suite."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from tests.integrations.places import KINDS, place
from tests.server.running import RunningServer

import pykyro
from pykyro.langchain import KyroVectorStore

ANGLES = {"east": 0, "near east": 10, "nearer east": 5, "north": 90, "west": 180}
DOCUMENTS = [
    Document(id="e", page_content="east", metadata={"year": 2020, "tags": ["a", "b"]}),
    Document(id="n", page_content="near east", metadata={"year": 2021, "score": 0.5}),
    Document(id="r", page_content="nearer east", metadata={"year": 2022, "seen": None}),
    Document(
        id="o",
        page_content="north",
        metadata={"at": datetime(2024, 1, 2, tzinfo=UTC), "author": {"name": "Ada"}, "ok": True},
    ),
]


class Compass(Embeddings):
    """Vectors of length 2, in the direction that a text names."""

    def embed_query(self, text: str) -> list[float]:
        angle = np.radians(ANGLES[text])
        return [2 * float(np.cos(angle)), 2 * float(np.sin(angle))]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path, server: RunningServer) -> Iterator[KyroVectorStore]:
    """A store with DOCUMENTS, at each kind of place."""
    with (
        place(request.param, tmp_path / "data", f"127.0.0.1:{server.port}", 2) as arguments,
        KyroVectorStore(Compass(), **arguments) as store,
    ):
        assert store.add_documents(DOCUMENTS) == ["e", "n", "r", "o"]
        yield store


def ids(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


def test_every_place_answers_alike(store: KyroVectorStore) -> None:
    assert store.get_by_ids(["o", "none", "e"]) == [DOCUMENTS[3], DOCUMENTS[0]]
    assert ids(store.similarity_search("east", k=2)) == ["e", "r"]
    assert ids(store.similarity_search("east", filter={"year": {"$gte": 2021}})) == ["r", "n"]
    assert ids(store.similarity_search("east", filter={"author.name": "Ada"})) == ["o"]
    assert ids(store.similarity_search("east", filter={"tags": {"$contains_all": ["a", "b"]}})) == ["e"]
    # The second nearest is too like the first.
    assert ids(store.max_marginal_relevance_search("east", k=2, lambda_mult=0.3)) == ["e", "o"]
    scored = store.similarity_search_with_score("east", k=4)
    assert [round(score, 5) for _, score in scored] == [1.0, 0.99619, 0.98481, 0.0]
    ((document, relevance),) = store.similarity_search_with_relevance_scores("west", score_threshold=0.4)
    assert document == DOCUMENTS[3]
    assert relevance == pytest.approx(0.5)
    store.delete(["e", "none"])
    store.delete(filter={"year": 2021})
    assert ids(store.similarity_search("east")) == ["r", "o"]
    store.delete()
    assert store.similarity_search("east") == []


@pytest.mark.anyio
async def test_coroutines_answer_as_methods_do(store: KyroVectorStore) -> None:
    assert await store.aget_by_ids(["o", "none"]) == [DOCUMENTS[3]]
    assert ids(await store.asimilarity_search("east", k=2, filter={"year": {"$gt": 2020}})) == ["r", "n"]
    assert ids(await store.amax_marginal_relevance_search("east", k=2, lambda_mult=0.3)) == ["e", "o"]
    scored = await store.asimilarity_search_with_relevance_scores("west", score_threshold=0.4)
    assert scored == [(DOCUMENTS[3], scored[0][1])]
    assert scored[0][1] == pytest.approx(0.5)
    retriever = store.as_retriever(search_type="mmr", search_kwargs={"k": 1, "filter": {"ok": True}})
    assert ids(await retriever.ainvoke("east")) == ["o"]
    assert ids(retriever.invoke("east")) == ["o"]
    await store.aadd_embeddings([("south", [0.0, -1.0])], ids=["s"])
    assert ids(await store.asimilarity_search_by_vector([0.0, -1.0], k=1)) == ["s"]
    await store.adelete(filter={"year": 2021})
    assert ids(await store.asimilarity_search("east")) == ["e", "r", "o", "s"]
    await store.adelete()
    assert await store.asimilarity_search("east") == []
    if store.database.__class__ is pykyro.Client:
        await store.aclose()


def test_a_store_of_an_async_client_serves_coroutines_alone(server: RunningServer) -> None:
    async def work() -> list[Document]:
        async with pykyro.AsyncClient(f"127.0.0.1:{server.port}") as client:
            store = await KyroVectorStore.afrom_texts(
                ["east", "north"], Compass(), ids=["e", "n"], database=client, collection="awaited"
            )
            with pytest.raises(pykyro.FailedPrecondition, match="AsyncClient"):
                store.similarity_search("east")
            return await store.asimilarity_search("north", k=1)

    for _ in range(2):  # each on a loop of its own
        assert ids(asyncio.run(work())) == ["n"]


def test_one_loop_after_the_other(server: RunningServer) -> None:
    with KyroVectorStore.from_texts(
        ["east"], Compass(), url=f"127.0.0.1:{server.port}", collection="loops", ids=["e"]
    ) as store:
        for _ in range(3):
            assert ids(asyncio.run(store.asimilarity_search("east"))) == ["e"]


def test_what_is_stored_is_there_after_opening_again(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"path": tmp_path / "data", "distance": "euclidean"}
    KyroVectorStore.from_documents(DOCUMENTS, Compass(), **arguments).close()
    with KyroVectorStore(Compass(), **arguments, create=False) as store:
        assert store.get_by_ids(["o"]) == [DOCUMENTS[3]]
        # 1 / (1 + distance), which is a relevance already.
        assert store.similarity_search_with_relevance_scores("west", k=1)[0][1] == pytest.approx(
            1 / (1 + 8**0.5)
        )


def test_what_cannot_be_stored_is_refused(tmp_path: Path) -> None:
    with KyroVectorStore(Compass(), path=tmp_path / "data") as store:
        with pytest.raises(pykyro.InvalidArgument, match="content_key"):
            store.add_texts(["east"], [{"__page_content__": "mine"}])
        with pytest.raises(ValueError, match="ids must be as many as the texts, got 2 for 1"):
            store.add_texts(["east"], ids=["a", "b"])
        with pytest.raises(pykyro.InvalidArgument, match=r"1 of 2 documents .*'bad'.*metadata\.x"):
            store.add_texts(["east", "north"], [{}, {"x": object()}], ids=["good", "bad"])
        assert ids(store.similarity_search("east")) == ["good"]


def test_places_that_will_not_do(tmp_path: Path) -> None:
    with pytest.raises(pykyro.InvalidArgument, match="give one of"):
        KyroVectorStore(Compass())
    with pytest.raises(pykyro.InvalidArgument, match="give one of"):
        KyroVectorStore(Compass(), path=tmp_path, url="localhost:1")
    with pytest.raises(pykyro.InvalidArgument, match="distance must be one of"):
        KyroVectorStore(Compass(), path=tmp_path / "data", distance=cast(Any, "manhattan"))
    with pykyro.open(tmp_path / "mine", dimension=2) as database:
        database.create_collection("pages", 2, id_type="text")
        absent = KyroVectorStore(Compass(), database=database, collection="page", create=False)
        with pytest.raises(pykyro.NotFound, match="nearest name is 'pages'"):
            absent.similarity_search("east")
        with pytest.raises(pykyro.FailedPrecondition, match="ids that are integers"):
            KyroVectorStore(Compass(), database=database, collection="default").add_texts(["east"])


def test_namespaces_divide_a_collection(tmp_path: Path) -> None:
    with pykyro.open(tmp_path / "data") as database:
        one, two = (KyroVectorStore(Compass(), database=database, namespace=name) for name in ("one", "two"))
        one.add_texts(["east"], ids=["e"])
        two.add_texts(["north"], ids=["n"])
        one.delete()
        assert (ids(one.similarity_search("east")), ids(two.similarity_search("east"))) == ([], ["n"])


def test_text_of_other_programs_is_found_under_its_key(tmp_path: Path) -> None:
    with pykyro.open(tmp_path / "data") as database:
        pages = database.create_collection("pages", 2, id_type="text")
        pages.insert("a", [1, 0], {"text": "words", "n": 1})
        pages.insert("b", [0, 1], {"text": 7})
        store = KyroVectorStore(Compass(), database=pages, content_key="text")
        assert store.get_by_ids(["a", "b"]) == [
            Document(id="a", page_content="words", metadata={"n": 1}),
            Document(id="b", page_content="", metadata={"text": 7}),
        ]
