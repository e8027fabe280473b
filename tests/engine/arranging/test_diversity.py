"""Maximal marginal relevance: against its definition, one document at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.engine.opening import ids, open_small, put, settle, vectors

from pykyro.engine.engine import Engine
from pykyro.model import distance
from pykyro.model.arrangement import Arrangement, Mmr
from pykyro.model.legs import Legs
from pykyro.model.requests import SearchRequest, SearchResult
from pykyro.model.types import Metric
from pykyro.model.words import WordsConfig

ROWS = np.concatenate([vectors(30), vectors(30) + np.float32(0.01), vectors(30) * 2 + np.float32(0.03)])


def diverse(
    engine: Engine, k: int, relevance: float, candidates: int, text: str | None = None
) -> SearchResult:
    legs = Legs(text, text is None, arrangement=Arrangement(mmr=Mmr(relevance, candidates)))
    return engine.search(SearchRequest(ROWS[0], k, exact=True, legs=legs))


def by_definition(best: SearchResult, k: int, relevance: float, metric: Metric, *, shares: bool) -> list[int]:
    scores = {hit.doc_id: hit.score for hit in best.hits}
    likeness_by = Metric.COSINE if shares else metric
    if shares:
        scores = {doc_id: score / max(scores.values()) for doc_id, score in scores.items()}
    chosen: list[int] = []
    while len(chosen) < min(k, len(scores)):
        worth = {}
        for doc_id, score in scores.items():
            if doc_id in chosen:
                continue
            likeness = 0.0
            if chosen:
                rows = np.array([ROWS[each - 1] for each in chosen])
                alike = distance.similarities(rows, ROWS[doc_id - 1], likeness_by)
                if likeness_by is Metric.EUCLIDEAN:
                    alike = 1 / (1 + np.sqrt(-alike))
                likeness = float(alike.max())
            worth[doc_id] = relevance * score - (1 - relevance) * likeness if chosen else score
        chosen.append(max(worth, key=lambda doc_id: worth[doc_id]))
    return chosen


@pytest.mark.parametrize("metric", list(Metric))
def test_documents_are_chosen_as_the_definition_says(tmp_path: Path, metric: Metric) -> None:
    engine = open_small(tmp_path, metric=metric, words=WordsConfig(("body",)))
    for first in (0, 45):
        engine.commit([put(at + 1, ROWS[at], body="red " * (1 + at % 4)) for at in range(first, first + 45)])
        if not first:
            engine.flush()
    settle(engine)
    for relevance in (0.0, 0.2, 0.5, 0.9, 1.0):
        for k, candidates in ((1, 40), (7, 7), (7, 40), (90, 0), (12, 0)):
            best = engine.search(SearchRequest(ROWS[0], candidates or max(100, 4 * k), exact=True))
            found = diverse(engine, k, relevance, candidates)
            assert ids(found) == by_definition(best, k, relevance, metric, shares=False)
            scores = {hit.doc_id: hit.score for hit in best.hits}
            assert all(hit.score == scores[hit.doc_id] and hit.vector is None for hit in found.hits)
        best = engine.search(SearchRequest(ROWS[0], 60, legs=Legs("red")))
        found = diverse(engine, 8, relevance, 60, "red")
        assert ids(found) == by_definition(best, 8, relevance, metric, shares=True)
    assert ids(diverse(engine, 9, 1.0, 0)) == ids(engine.search(SearchRequest(ROWS[0], 9, exact=True)))
    assert ids(diverse(engine, 3, 0.5, 0, "none")) == []
    engine.close()
