"""Answers in groups and of unlike documents, asked of every store alike."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from tests.client.stores import DIMENSION, Store, random_vectors
from tests.client.test_words import ids, named

from pykyro import InvalidArgument

MOMENT = datetime(2020, 1, 31, 12, tzinfo=UTC)
VALUES: list[Any] = ["x", 1, 1.5, True, MOMENT, "x", 1.0, "1", ["x", "y"], None, {"in": "deep"}, ["y"]]
VECTORS = random_vectors(len(VALUES))


@pytest.fixture(params=["integer", "text"])
def notes(store: Store, request: pytest.FixtureRequest) -> Iterator[Any]:
    store.create_collection("grouped", DIMENSION, text="body", id_type=request.param)
    collection = named(store, "grouped")
    for at, value in enumerate(VALUES):
        own_id = at + 1 if request.param == "integer" else f"{at + 1:02}"
        collection.insert(own_id, VECTORS[at], {"value": value, "body": "word " * (at + 1)})
    yield collection
    store.drop_collection("grouped")


def test_values_of_every_type_make_groups(notes: Any) -> None:
    for arguments in (
        {"vector": VECTORS[0]},
        {"text": "word"},
        {"vector": VECTORS[0], "text": "word", "explain": True},
    ):
        full = notes.search(**arguments, k=20)
        answer = notes.search(**arguments, k=20, group_by="value", group_size=2)
        wanted: dict[Any, list[int]] = {}
        for hit in full:
            at = int(hit.id) - 1
            value = "y" if at == 11 else VALUES[at]
            if at not in (8, 9, 10):
                wanted.setdefault((type(value) if value is True else None, value), []).append(hit.id)
        assert [(group.value, [hit.id for hit in group.hits]) for group in answer.groups] == [
            (value, some) for (_, value), some in wanted.items()
        ]
        assert [type(group.value) for group in answer.groups if group.value == 1].count(bool) == 1
        scores = {hit.id: hit.score for hit in full}
        for hit in answer:
            assert hit.score == scores[hit.id]
            assert ("text" in hit.legs) == ("explain" in arguments)
    (deep,) = notes.search(VECTORS[0], group_by="value.in").groups
    assert (deep.value, deep.hits[0].metadata["value"]) == ("deep", {"in": "deep"})
    assert notes.search(VECTORS[0]).groups == []
    assert ids(notes.search(VECTORS[0], group_by="nothing")) == []
    bare = notes.search(VECTORS[0], group_by="value", include_metadata=False, include_vectors=True)
    assert (len(bare), bare[0].metadata) == (7, {})
    assert bare[0].vector.tolist() == VECTORS[0].tolist()


def test_unlike_documents(notes: Any) -> None:
    best = ids(notes.search(VECTORS[0], k=5))
    assert ids(notes.search(VECTORS[0], k=5, mmr=1)) == best
    spread = notes.search(VECTORS[0], k=5, mmr={"relevance": 0, "candidates": 12})
    assert spread[0].id == best[0]
    rows = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    alike = rows @ rows[int(best[0]) - 1]
    assert int(spread[1].id) == int(np.argmin(alike)) + 1
    assert spread[0].vector is None
    worded = notes.search(text="word", k=3, mmr=0.3, include_vectors=True, highlight=True)
    assert worded[0].id == notes.search(text="word")[0].id
    assert worded[0].vector is not None
    assert worded[0].highlights
    assert len(notes.search(VECTORS[0], text="word", mmr=0.3)) == 10


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"group_by": 7}, "group_by"),
        ({"group_by": "x" * 1025}, "group_by"),
        ({"group_size": 2}, "group_size"),
        ({"group_by": "value", "group_size": 101}, "group_size"),
        ({"group_by": "value", "group_size": -1}, "group_size"),
        ({"group_by": "value", "group_size": 11, "k": 100}, "group_size"),
        ({"group_by": "value", "mmr": 0.5}, "mmr"),
        ({"mmr": 1.5}, "mmr.relevance"),
        ({"mmr": float("nan")}, "mmr.relevance"),
        ({"mmr": "much"}, "mmr.relevance"),
        ({"mmr": {"lambda": 1}}, "mmr"),
        ({"mmr": {"candidates": 1001}}, "mmr.candidates"),
        ({"mmr": {"candidates": 9}}, "mmr.candidates"),
        ({"vector": None, "mmr": 0.5}, "vector"),
        ({"highlight": True, "mmr": 0.5}, "highlight"),
    ],
)
def test_wrong_calls_are_refused(store: Store, arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        store.search(**({"vector": VECTORS[0]} | arguments))
    assert refused.value.field == field
