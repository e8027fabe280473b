"""Two legs fused: against both legs asked for everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.opening import open_small, put, settle, vectors
from tests.engine.words.oracle import Oracle
from tests.longer import longer

from pykyro.engine.engine import Engine
from pykyro.engine.words import depths
from pykyro.model.filter import Exact
from pykyro.model.legs import RRF, WEIGHTS, Legs
from pykyro.model.requests import Delete, SearchRequest
from pykyro.model.types import Metric
from pykyro.model.words import WordsConfig

CONFIG = WordsConfig(("body",))
ROWS = vectors(60)
WORDS = ["red", "fox", "brown", "dog", "lazy"]


@pytest.fixture(scope="module", params=list(Metric))
def stored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Engine, dict[int, dict[str, str]]]]:
    """Documents in segments and the hot tier, some deleted."""
    engine = open_small(tmp_path_factory.mktemp("fusion"), words=CONFIG, metric=request.param)
    known = {}
    for at, row in enumerate(ROWS):
        body = " ".join(WORDS[(at * step) % len(WORDS)] for step in range(1, 1 + at % 5))
        known[at + 1] = {"body": body, "kind": "ab"[at % 2]}
        engine.write(put(at + 1, row, **known[at + 1]))
        if at in (20, 40):
            engine.flush()
            settle(engine)
    for doc_id in (3, 33, 55):
        engine.write(Delete(doc_id))
        del known[doc_id]
    yield engine, known
    engine.close()


@settings(max_examples=longer(20), deadline=None)
@given(
    query=st.lists(st.sampled_from([*WORDS, "-dog", "+red", "none"]), min_size=1, max_size=3).map(" ".join),
    at=st.integers(0, len(ROWS) - 1),
    k=st.integers(1, 12),
    fuse=st.sampled_from([RRF, WEIGHTS]),
    weights=st.tuples(st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.5, 1.0, 3.0])),
    depth=st.integers(1, 70),
    kind=st.sampled_from([None, "a"]),
)
def test_fused_answers_are_those_of_both_legs_in_full(
    stored: tuple[Engine, dict[int, dict[str, str]]],
    query: str,
    at: int,
    k: int,
    fuse: str,
    weights: tuple[float, float],
    depth: int,
    kind: str | None,
) -> None:
    engine, known = stored
    condition = None if kind is None else Exact("kind", kind)
    among = [doc_id for doc_id, entries in known.items() if kind in (None, entries["kind"])]
    by_vector = {
        hit.doc_id: hit.score
        for hit in engine.search(SearchRequest(ROWS[at], 100, exact=True, filter=condition)).hits
    }
    by_text = dict(Oracle(CONFIG).best(known, query, 100, among))
    if fuse == RRF:
        end = max(depth, k)
        worth: dict[int, float] = {}
        for leg, weight in zip((by_vector, by_text), weights, strict=True):
            for rank, doc_id in enumerate(list(leg)[:end], start=1):
                worth[doc_id] = worth.get(doc_id, 0.0) + weight / (60 + rank)
    else:
        top = max(by_vector.values()), max(by_text.values(), default=0.0)
        worth = {
            doc_id: weights[0] * (1 - (top[0] - score) / (abs(top[0]) or 1.0))
            + weights[1] * (1 - (top[1] - by_text.get(doc_id, 0.0)) / (abs(top[1]) or 1.0))
            for doc_id, score in by_vector.items()
        }
    legs = Legs(query, True, fuse, weights, depth, explain=True)
    with mock.patch.object(depths, "_WIDER", 2):
        found = engine.search(SearchRequest(ROWS[at], k, exact=True, filter=condition, legs=legs))
    expected = sorted(worth.items(), key=lambda each: (-each[1], each[0]))[:k]
    assert [(hit.doc_id, hit.score) for hit in found.hits] == expected
    assert len(found.hits) == min(k, len(among))
    assert found.matched == len(among)
    for hit in found.hits:
        vector, text = hit.legs  # type: ignore[attr-defined]
        assert vector.score == by_vector[hit.doc_id]
        assert text.score == by_text.get(hit.doc_id, 0.0)


def test_the_depth_is_bounded(tmp_path: Path) -> None:
    """Where nothing tells documents apart, no more of them are looked at than the bound."""
    engine = open_small(tmp_path, words=CONFIG)
    engine.commit([put(at + 1, ROWS[at], body="same") for at in range(60)])
    legs = Legs("none", True, WEIGHTS, (0.0, 1.0), 5)
    with mock.patch.object(depths, "FUSE_DEPTH_MAX", 20):
        found = engine.search(SearchRequest(ROWS[0], 5, legs=legs))
    assert (len(found.hits), found.exact, found.fusion) == (5, False, "bounded")
    engine.close()


@settings(max_examples=longer(40), deadline=None)
@given(
    query=st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join),
    at=st.integers(0, len(ROWS) - 1),
    k=st.integers(1, 12),
    weights=st.tuples(st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.5, 1.0, 30.0])),
    least=st.integers(1, 40),
    exact=st.booleans(),
)
def test_what_is_proved_is_what_whole_lists_give(
    stored: tuple[Engine, dict[int, dict[str, str]]],
    query: str,
    at: int,
    k: int,
    weights: tuple[float, float],
    least: int,
    exact: bool,
) -> None:
    engine, known = stored
    whole = Legs(query, True, RRF, weights, 100)
    wanted = engine.search(SearchRequest(ROWS[at], k, exact=True, legs=whole))
    assert wanted.fusion == "exhausted"
    legs = Legs(query, True, RRF, weights)
    with mock.patch.object(depths, "_DEPTH_MIN", least):
        found = engine.search(SearchRequest(ROWS[at], k, exact=exact, legs=legs))
    assert len(found.hits) == min(k, len(known))
    if exact:
        assert found.fusion in ("exhausted", "proved")
    if found.fusion != "bounded":
        assert [hit.doc_id for hit in found.hits] == [hit.doc_id for hit in wanted.hits]
    else:
        assert not found.exact
        assert "deeper ones may change it" in found.plan


def test_each_leg_has_a_depth_of_its_own(stored: tuple[Engine, dict[int, dict[str, str]]]) -> None:
    engine, _ = stored
    legs = Legs("red fox", True, explain=True, depths=(3, 7))
    found = engine.search(SearchRequest(ROWS[0], 3, exact=True, legs=legs))
    assert found.fusion == "as_asked"
    deep = engine.search(SearchRequest(ROWS[0], 10, exact=True, legs=legs))
    ranks = [{leg.leg: leg.rank for leg in hit.legs} for hit in deep.hits]  # type: ignore[attr-defined]
    # The leg by vector has as many documents as are wanted.
    assert 3 < max(rank["vector"] for rank in ranks) <= 10
    assert 3 < max(rank["text"] for rank in ranks) <= 7
