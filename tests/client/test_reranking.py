"""The caller's own model puts hits in another order, whoever answers the search."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tests.client.stores import Awaited, Store, random_vectors
from tests.client.test_words import ids

from pykyro import InvalidArgument
from pykyro.model.answers import Hit

VECTORS = random_vectors(60)


@pytest.fixture
def filled(store: Store) -> Store:
    for at, vector in enumerate(VECTORS):
        store.insert(at + 1, vector, {"worth": at % 7})
    return store


def by_worth(hits: list[Hit]) -> Sequence[float]:
    return [hit.metadata["worth"] for hit in hits]


def test_hits_come_in_the_order_of_the_reranker(filled: Store) -> None:
    best = filled.search(VECTORS[0], k=30)
    answer = filled.search(VECTORS[0], k=8, rerank=by_worth, rerank_candidates=30)
    # Of equal scores the better hit of the search comes first.
    expected = sorted(best, key=lambda hit: -hit.metadata["worth"])[:8]
    assert ids(answer) == [hit.id for hit in expected]
    assert [hit.score for hit in answer] == [hit.metadata["worth"] for hit in expected]
    assert [hit.search_score for hit in answer] == [hit.score for hit in expected]
    assert "30 reranked" in answer.plan
    assert best[0].search_score is None


def test_how_many_a_reranker_is_given(filled: Store) -> None:
    given: list[int] = []

    def rerank(hits: list[Hit]) -> Any:
        given.append(len(hits))
        return np.arange(len(hits))

    assert ids(filled.search(VECTORS[0], k=2, rerank=rerank)) == ids(filled.search(VECTORS[0], k=50))[:-3:-1]
    filled.search(VECTORS[0], k=55, rerank=rerank)
    assert len(filled.search(VECTORS[0], filter={"worth": 99}, rerank=rerank)) == 0
    filled.search(VECTORS[0], k=2, rerank=rerank, mmr=0.5, rerank_candidates=9)
    assert given == [50, 55, 0, 9]


def test_what_a_reranker_raises_is_raised(filled: Store) -> None:
    def fail(hits: list[Hit]) -> Any:
        raise KeyError("no model")

    with pytest.raises(KeyError, match="no model"):
        filled.search(VECTORS[0], rerank=fail)


def test_an_asynchronous_reranker(filled: Store) -> None:
    async def rerank(hits: list[Hit]) -> Sequence[float]:
        await asyncio.sleep(0)
        return by_worth(hits)

    if isinstance(filled, Awaited):
        assert filled.search(VECTORS[0], k=3, rerank=rerank)[0].score == 6
        return
    with pytest.raises(InvalidArgument, match="something to await"):
        filled.search(VECTORS[0], k=3, rerank=rerank)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"rerank": "model"}, "rerank"),
        ({"rerank": lambda hits: None}, "rerank"),
        ({"rerank": lambda hits: [1.0]}, "rerank"),
        ({"rerank": lambda hits: ["good"] * len(hits)}, "rerank"),
        ({"rerank": lambda hits: [float("nan")] * len(hits)}, "rerank"),
        ({"rerank": by_worth, "group_by": "worth"}, "rerank"),
        ({"rerank": by_worth, "rerank_candidates": 9}, "rerank_candidates"),
        ({"rerank": by_worth, "rerank_candidates": 1001}, "rerank_candidates"),
        ({"rerank_candidates": 20}, "rerank_candidates"),
        ({"rerank": by_worth, "k": 0}, "k"),
        ({"rerank": by_worth, "k": 1001}, "k"),
        ({"rerank": by_worth, "k": "7"}, "k"),
    ],
)
def test_wrong_calls_are_refused(filled: Store, arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        filled.search(VECTORS[0], **arguments)
    assert refused.value.field == field
