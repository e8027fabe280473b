"""Maximal marginal relevance picks what LangChain's own function picks."""

from __future__ import annotations

import numpy as np
import pytest
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from pykyro.integrations.diversity import most_relevant_and_diverse


@pytest.mark.parametrize("relevance", [0.0, 0.3, 0.5, 1.0])
def test_as_in_langchain(relevance: float) -> None:
    random = np.random.default_rng(7)
    query, vectors = random.normal(size=6), random.normal(size=(30, 6))
    picked = most_relevant_and_diverse(query, list(vectors), 9, relevance)
    assert [at for at, _ in picked] == maximal_marginal_relevance(query, vectors.tolist(), relevance, 9)


def test_nothing_to_pick_from() -> None:
    assert most_relevant_and_diverse([1.0, 0.0], [], 3, 0.5) == []
    assert most_relevant_and_diverse([1.0, 0.0], [[0.0, 0.0]], 3, 0.5) == [(0, 0.0)]
