"""Maximal marginal relevance picks what the frameworks' own functions pick."""

from __future__ import annotations

import numpy as np
import pytest
from langchain_core.vectorstores.utils import maximal_marginal_relevance
from llama_index.core.indices.query.embedding_utils import get_top_k_mmr_embeddings

from pykyro.integrations.diversity import most_relevant_and_diverse


@pytest.mark.parametrize("relevance", [0.0, 0.3, 0.5, 1.0])
def test_as_in_the_frameworks(relevance: float) -> None:
    random = np.random.default_rng(7)
    query, vectors = random.normal(size=6), random.normal(size=(30, 6))
    picked = most_relevant_and_diverse(query, list(vectors), 9, relevance)
    if relevance > 0:  # with 0 they begin with the nearest one all the same
        _, theirs = get_top_k_mmr_embeddings(
            query.tolist(), vectors.tolist(), similarity_top_k=9, mmr_threshold=relevance
        )
        assert [at for at, _ in picked] == theirs
    assert [at for at, _ in picked] == maximal_marginal_relevance(query, vectors.tolist(), relevance, 9)


def test_nothing_to_pick_from() -> None:
    assert most_relevant_and_diverse([1.0, 0.0], [], 3, 0.5) == []
    assert most_relevant_and_diverse([1.0, 0.0], [[0.0, 0.0]], 3, 0.5) == [(0, 0.0)]
