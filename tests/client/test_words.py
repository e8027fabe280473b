"""Searches by words and by both, asked of every store alike."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from tests.client.stores import DIMENSION, Awaited, Store, random_vectors

import pykyro
from pykyro import FailedPrecondition, InvalidArgument
from pykyro.model.words import WordsConfig

OPTIONS: dict[str, Any] = {"keys": ["title", "body"], "language": "english", "k1": 1.5, "b": 0.5}
TEXTS = [
    {"title": "Error E1042", "body": "The disk was full while sealing."},
    {"title": "Full disks", "body": "What to do when a disk has no room.", "year": 2020},
    {"title": "Foxes", "body": "Quick brown foxes jump over lazy dogs — even in Café Größe."},
    {"title": "Nothing of the kind", "body": 42},
    {"body": "full disk"},
]
VECTORS = random_vectors(len(TEXTS))


class _Waiting:
    """An asynchronous collection, awaited as its client is."""

    def __init__(self, client: Awaited, collection: Any) -> None:
        self._client = client
        self._collection = collection

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._collection, name)
        if not inspect.iscoroutinefunction(method):
            return method
        return lambda *args, **kwargs: self._client._wait(method(*args, **kwargs))


def named(store: Store, name: str) -> Any:
    collection = store.collection(name)
    return _Waiting(store, collection) if isinstance(store, Awaited) else collection


@pytest.fixture
def notes(store: Store) -> Iterator[Any]:
    store.create_collection("notes", DIMENSION, text=OPTIONS)
    collection = named(store, "notes")
    for at, metadata in enumerate(TEXTS):
        collection.insert(at + 1, VECTORS[at], metadata, namespace="odd" if at % 2 == 0 else "even")
    yield collection
    store.drop_collection("notes")


def ids(answer: pykyro.SearchAnswer) -> list[int]:
    return [hit.id for hit in answer]


def test_the_options_are_told(notes: Any) -> None:
    assert notes.describe().config.words == WordsConfig(("title", "body"), "english", 1.5, 0.5)


def test_words_are_found_wherever_they_are_stored(notes: Any) -> None:
    asked = ("disk full", "+disk -full", '"full disk"', "e10*", "größe", "CAFE", "fox", "42", "")
    found = {query: [(hit.id, hit.score) for hit in notes.search(text=query)] for query in asked}
    assert {query: [doc_id for doc_id, _ in hits] for query, hits in found.items()} == {
        "disk full": [5, 2, 1],
        "+disk -full": [],
        '"full disk"': [5, 2],
        "e10*": [1],
        "größe": [3],
        "CAFE": [3],
        "fox": [3],
        "42": [],
        "": [],
    }
    notes.flush()
    assert {query: [(hit.id, hit.score) for hit in notes.search(text=query)] for query in asked} == found


def test_an_answer_says_what_it_is(notes: Any) -> None:
    answer = notes.search(text="disk", k=2)
    assert (len(answer), answer.matched, answer.exact, answer.complete, answer.cached) == (
        2,
        3,
        True,
        True,
        "",
    )
    assert answer.note == ""
    assert "no words" in notes.search(text="…").note
    assert "must not be there" in notes.search(text="-disk").note


def test_filters_namespaces_and_scores_below_a_bound_are_left_out(notes: Any) -> None:
    assert ids(notes.search(text="disk", filter={"year": {"$gte": 2000}})) == [2]
    assert ids(notes.search(text="disk", namespace="odd")) == [5, 1]
    best, second, _ = notes.search(text="disk full")
    assert ids(notes.search(text="disk full", min_score=(best.score + second.score) / 2)) == [best.id]
    # Statistics are of all documents, whatever the filter leaves.
    assert notes.search(text="disk full", namespace="even")[0].score == second.score


def test_what_an_answer_carries(notes: Any) -> None:
    hit = notes.search(text="full disks", highlight=True, explain=True, include_vectors=True)[1]
    assert (hit.id, hit.vector.tolist()) == (2, VECTORS[1].tolist())
    assert hit.metadata == TEXTS[1]
    assert hit.highlighted("title") == "<b>Full</b> <b>disks</b>"
    assert hit.highlighted("body", "[", "]") == "What to do when a [disk] has no room."
    assert hit.legs == {"text": ("text", 2, hit.score)}
    (plain,) = notes.search(text="fox", include_metadata=False)
    assert (plain.metadata, plain.legs, plain.highlights) == ({}, {}, [])
    (fox,) = notes.search(text="cafe", highlight=True)
    assert fox.highlighted("body", "[", "]").endswith("even in [Café] Größe.")


def test_both_ways_fused(notes: Any) -> None:
    answer = notes.search(VECTORS[0], text="disk full", explain=True)
    assert len(answer) == answer.matched == 5
    for hit in answer:
        legs = hit.legs
        worth = 1 / (60 + legs["vector"].rank) + (1 / (60 + legs["text"].rank) if legs["text"].rank else 0)
        assert hit.score == worth
    assert [hit.legs["vector"].rank for hit in sorted(answer, key=lambda hit: hit.legs["vector"].rank)] == [
        1,
        2,
        3,
        4,
        5,
    ]
    assert answer.fusion == "exhausted"
    narrow = notes.search(VECTORS[0], text="disk full", depth={"vector": 2, "text": 1}, explain=True)
    assert [max(hit.legs[leg].rank for hit in narrow) for leg in ("vector", "text")] == [5, 1]
    assert narrow.fusion == "as_asked"
    assert notes.search(VECTORS[0], text="disk full", k=1, depth=1).fusion in ("as_asked", "proved")
    assert notes.search(text="disk full").fusion == ""
    by_vector = {hit.id: hit.score for hit in notes.search(VECTORS[0])}
    by_words = {hit.id: hit.score for hit in notes.search(text="disk full")}
    fuse = {"weights": {"vector": 0.5, "text": 2}}
    for hit in notes.search(VECTORS[0], text="disk full", fuse=fuse, explain=True, k=3):
        vector, text = hit.legs["vector"].score, hit.legs["text"].score
        assert (vector, text) == (by_vector[hit.id], by_words.get(hit.id, 0.0))
        best_vector, best_text = max(by_vector.values()), max(by_words.values())
        assert hit.score == pytest.approx(0.5 * vector / best_vector + 2 * text / best_text, rel=1e-12)
    assert ids(notes.search(VECTORS[0], text="zzz")) == ids(notes.search(VECTORS[0]))
    assert ids(notes.search(VECTORS[0], text="disk", fuse={"rrf": {"vector": 0}}))[:3] == ids(
        notes.search(text="disk")
    )
    assert ids(notes.search(VECTORS[3], text="disk", k=1, namespace="even")) == [2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give a vector, a text, or both"),
        ({"text": 5}, "text must be a text"),
        ({"text": "x", "fuse": "rrf"}, "give a vector too"),
        ({"vector": VECTORS[0], "highlight": True}, "give a text too"),
        ({"vector": VECTORS[0], "text": "x", "fuse": "best"}, "fuse must be"),
        ({"vector": VECTORS[0], "text": "x", "fuse": {"rrf": {"words": 1}}}, "legs of vector, text"),
        ({"vector": VECTORS[0], "text": "x", "fuse": {"weights": {"text": -1}}}, "from 0 to 1e"),
        ({"vector": VECTORS[0], "text": "x", "fuse": {"rrf": {"text": 0, "vector": 0}}}, "at least one leg"),
        ({"vector": VECTORS[0], "text": "x", "depth": -1}, "depth must be"),
        ({"vector": VECTORS[0], "text": "x", "depth": {"text": 10_001}}, "depth.text must be"),
        ({"vector": VECTORS[0], "text": "x", "depth": {"words": 1}}, "legs of vector, text"),
        ({"text": "x" * (1 << 20) + "x"}, "at most 1048576 bytes"),
        ({"text": " ".join(map(str, range(150_000)))}, "more than 4096 words"),
        ({"text": "東京" * 150_000}, "more than 4096 words"),
        ({"text": "x", "k": 0}, "k must be"),
    ],
)
def test_wrong_calls_are_refused(notes: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        notes.search(**arguments)
    assert ids(notes.search(text="fox")) == [3]


def test_hostile_texts_are_queries(notes: Any) -> None:
    for text in (
        "x" * (1 << 20),
        "\0",
        '"' * 1000,
        "+-" * 1000,
        "* " * 1000,
        "a* b* c*",
        "😀 +😀",
        "\u0301" * 1000,
    ):
        notes.search(text=text)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ({"keys": []}, "text.keys"),
        ({"keys": ["a", "a"]}, "text.keys"),
        ({"language": "english"}, "text.keys"),
        ({"keys": "a", "language": "klingon"}, "text.language"),
        ({"keys": "a", "k1": -1}, "text.k1"),
        ({"keys": "a", "b": 1.5}, "text.b"),
        ({"keys": "a", "stop_words": True}, "text.stop_words"),
        ({"keys": "a", "stemmer": "x"}, "text"),
    ],
)
def test_wrong_options_are_refused(store: Store, text: Any, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        store.create_collection("wrong", DIMENSION, text=text)
    assert refused.value.field == field
    assert [info.name for info in store.collections() if info.name == "wrong"] == []


def test_a_collection_without_words_says_the_way_out(store: Store) -> None:
    store.insert(1, VECTORS[0])
    for arguments in ({"text": "x"}, {"vector": VECTORS[0], "text": "x"}):
        with pytest.raises(FailedPrecondition, match="created without text options"):
            store.search(**arguments)


def test_options_cannot_change(store: Store) -> None:
    store.create_collection("fixed", DIMENSION, text="body")
    store.create_collection("fixed", DIMENSION, text=["body"], exist_ok=True)
    store.create_collection("fixed", DIMENSION, exist_ok=True)
    with pytest.raises(InvalidArgument, match="cannot change"):
        store.create_collection("fixed", DIMENSION, text="title", exist_ok=True)
    store.drop_collection("fixed")
