"""What each mode of the query cache serves."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
from tests.engine.cached import ask, cached_engine, many, parts, truth
from tests.engine.opening import fill, open_small, vectors

from pykyro.cache.query_cache import Mode
from pykyro.engine.options import CacheOptions
from pykyro.model.requests import CachedKind, SearchRequest


def test_nothing_is_cached_when_the_mode_is_off(tmp_path: Path) -> None:
    engine = cached_engine(tmp_path / "data", Mode.OFF)
    rows = many(engine)
    for _ in range(3):
        assert ask(engine, rows[0]).cached is None
    assert len(engine._context.caches.queries) == 0
    engine.close()


def test_mode_exact_serves_only_the_same_question(tmp_path: Path) -> None:
    engine = cached_engine(tmp_path / "data", Mode.EXACT)
    rows = many(engine)
    ask(engine, rows[0])
    assert ask(engine, rows[0]).cached is CachedKind.EXACT
    assert ask(engine, rows[0] * np.float32(1.0001)).cached is None
    engine.close()


def test_mode_threshold_gives_the_other_questions_documents_and_scores(tmp_path: Path) -> None:
    engine = cached_engine(tmp_path / "data", Mode.THRESHOLD)
    rows = many(engine)
    before = ask(engine, rows[0])
    query = rows[0] / np.float32(np.linalg.norm(rows[0]))
    aside = vectors(1, seed=4)[0]
    aside -= query * np.dot(query, aside)
    found = ask(engine, query + aside / np.float32(np.linalg.norm(aside)))  # a cosine of 0.71
    assert (found.cached, parts(found)) == (CachedKind.THRESHOLD, parts(before))
    assert np.isnan(found.margin)
    assert not found.exact
    assert ask(engine, -rows[0]).cached is None
    engine.close()


def test_mode_rescored_serves_near_questions_once_it_has_measured_them(tmp_path: Path) -> None:
    options = CacheOptions(query_mode=Mode.RESCORED, query_capacity=200, query_recall_min=0.9)
    engine = open_small(tmp_path / "data", dimension=16, cache=options)
    fill(engine, vectors(1000, seed=3, dimension=16))
    topics, noise = vectors(20, seed=21, dimension=16), np.random.default_rng(2)
    kinds, shared = Counter[CachedKind | None](), 0.0
    random.seed(1)
    for _ in range(2000):
        query = topics[noise.integers(20)] + noise.standard_normal(16) * 0.2
        request = SearchRequest(query.astype(np.float32), 10)
        found = engine.search(request)
        kinds[found.cached] += 1
        if found.cached is CachedKind.RESCORED:
            expected = {hit.doc_id: hit.score for hit in truth(engine, request).hits}
            ours = {hit.doc_id: hit.score for hit in found.hits}
            shared += len(expected.keys() & ours.keys()) / len(expected)
            assert all(expected[doc_id] == ours[doc_id] for doc_id in expected.keys() & ours.keys())
    engine.close()
    assert kinds[CachedKind.RESCORED] > 500
    assert shared / kinds[CachedKind.RESCORED] >= 0.9


def test_mode_rescored_serves_nothing_unproved_when_near_questions_have_other_answers(tmp_path: Path) -> None:
    options = CacheOptions(query_mode=Mode.RESCORED, query_capacity=200, query_recall_min=0.95)
    engine = open_small(tmp_path / "data", dimension=16, cache=options)
    fill(engine, vectors(1000, seed=3, dimension=16))
    topics, noise = vectors(20, seed=21, dimension=16), np.random.default_rng(2)
    random.seed(1)
    for _ in range(1000):
        query = topics[noise.integers(20)] + noise.standard_normal(16) * 0.5
        assert engine.search(SearchRequest(query.astype(np.float32), 10)).cached is not CachedKind.RESCORED
    assert engine._context.caches.queries.similar is not None
    assert engine._context.caches.queries.similar.control.checks > 20
    engine.close()
