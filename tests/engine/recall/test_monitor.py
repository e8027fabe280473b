"""Recall measured while it is used is the recall there is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.crash.clock import FakeClock
from tests.engine.opening import fill, open_small, put, vectors

from pykyro.database.collections import Collections
from pykyro.embedded.collections import Database
from pykyro.engine.engine import Engine
from pykyro.engine.options import RecallOptions
from pykyro.engine.recall import monitor as recall_monitor
from pykyro.engine.recall.monitor import recall_of
from pykyro.engine.recall.tally import AGE_S_MAX, SAMPLES_MAX, RecallTally, SearchClass
from pykyro.index.vector import shaping
from pykyro.model.errors import Unavailable
from pykyro.model.filter import Exact
from pykyro.model.requests import CachedKind, Delete, ScoredDocument, SearchRequest, SearchResult

WATCHED = RecallOptions(processor_share=0.5)
DIMENSION = 24


@pytest.fixture(autouse=True)
def segments_that_do_not_know_how_far_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shaping, "least_ef", lambda *_: (1, 0.5))


def watched(path: Path, **options: Any) -> Engine:
    """An engine with a graph that misses much: few links, small ef."""
    chosen: dict[str, Any] = {"m": 5, "ef_construction": 16, "ef_search": 10, "recall": WATCHED} | options
    engine = open_small(path, dimension=DIMENSION, **chosen)
    fill(engine, vectors(3000, seed=1, dimension=DIMENSION))
    engine.flush()
    return engine


def test_the_estimate_is_the_recall_of_what_was_served(tmp_path: Path) -> None:
    engine, monitor = watched(tmp_path / "data"), None
    monitor = engine.recall
    true = []
    for query in vectors(150, seed=2, dimension=DIMENSION):
        request = SearchRequest(query, 10)
        found = engine.search(request)
        exact = engine.search(SearchRequest(query, 10, exact=True))
        true.append(len({hit.doc_id for hit in found.hits} & {hit.doc_id for hit in exact.hits}) / 10)
        assert monitor.step()
        monitor.want()
    report = monitor.report()
    assert report.overall is not None
    assert report.overall.mean == pytest.approx(np.mean(true))
    assert 0.3 < report.overall.mean < 0.95
    assert report.overall.low < report.overall.mean < report.overall.high
    assert report.samples == report.overall.samples == 150
    assert report.processor_s > 0
    assert list(report.by_class) == [SearchClass("cold", filtered=False)]
    engine.close()


def test_samples_are_told_apart_by_what_answered_and_whether_a_filter_narrowed_it(tmp_path: Path) -> None:
    engine = watched(tmp_path / "data")
    engine.write(put(9000, vectors(1, dimension=DIMENSION)[0], colour="red"))
    (query,) = vectors(1, seed=5, dimension=DIMENSION)
    for request in (
        SearchRequest(query, 3),
        SearchRequest(query, 3),
        SearchRequest(query, 3, filter=Exact("colour", "red")),
    ):
        engine.search(request)
        engine.recall.step()
        engine.recall.want()
    assert set(engine.recall.report().by_class) == {
        SearchClass("hot_and_cold", filtered=False),
        SearchClass("cache", filtered=False),
        SearchClass("hot", filtered=True),
    }
    engine.close()


def test_a_sample_whose_documents_were_written_meanwhile_is_given_up(tmp_path: Path) -> None:
    engine = watched(tmp_path / "data")
    (query,) = vectors(1, seed=5, dimension=DIMENSION)
    found = engine.search(SearchRequest(query, 10))
    engine.write(Delete(found.hits[0].doc_id))
    assert engine.recall.step()
    assert (engine.recall.report().samples, engine.recall.report().overtaken) == (0, 1)
    engine.recall.want()
    engine.search(SearchRequest(query, 10))
    engine.write(put(8000, -query))
    assert engine.recall.step()
    assert (engine.recall.report().samples, engine.recall.report().overtaken) == (1, 1)
    engine.close()


def test_a_search_older_than_a_commit_is_no_sample(tmp_path: Path) -> None:
    engine = watched(tmp_path / "data")
    (query,) = vectors(1, seed=5, dimension=DIMENSION)
    request = SearchRequest(query, 3)
    stale = engine.reads.search_tiers(request)
    engine.write(put(8000, query))
    engine.recall.offer(request, stale)
    assert not engine.recall.step()
    engine._context.caches.begin()
    engine.recall.offer(request, engine.reads.search_tiers(request))
    assert not engine.recall.step()
    engine.close()


def test_exact_searches_are_no_samples_and_answers_without_rows_say_nothing(tmp_path: Path) -> None:
    engine = watched(tmp_path / "data")
    (query,) = vectors(1, seed=5, dimension=DIMENSION)
    engine.search(SearchRequest(query, 3, exact=True))
    assert not engine.recall.step()
    engine.search(SearchRequest(query, 3, filter=Exact("colour", "none")))
    assert engine.recall.step()
    assert engine.recall.report().samples == 0
    engine.close()


def test_nothing_is_sampled_without_processor_time_for_it(tmp_path: Path) -> None:
    engine = watched(tmp_path / "data", recall=RecallOptions())
    engine.search(SearchRequest(vectors(1, dimension=DIMENSION)[0], 3))
    engine.recall.want()
    assert not engine.recall.step()
    engine.close()


def test_low_recall_is_a_warning_once_until_it_is_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall_monitor, "RECALL_EXPECTED", 0.95)
    engine = watched(tmp_path / "data")
    embedded = Database(Collections(engine.directory, engine, engine.options))
    caplog.set_level("INFO", logger="pykyro")

    def watch(seed: int, count: int, **request: Any) -> None:
        for query in vectors(count, seed=seed, dimension=DIMENSION):
            engine.search(SearchRequest(query, 10, **request))
            engine.recall.step()
            engine.recall.want()

    watch(2, 60, ef_search=1)  # who asks for little gets it
    assert engine.recall.warning == ""
    assert embedded.health().status == "healthy"
    watch(3, 150)
    assert "searches find" in engine.recall.warning
    assert embedded.health().status == "degraded"
    assert engine.recall.warning in embedded.health().components["cold_tier"]
    assert [entry.levelname for entry in caplog.records if "searches find" in entry.message] == ["WARNING"]
    engine.ef_search = 400
    watch(4, 60)
    assert engine.recall.warning == ""
    assert embedded.health().status == "healthy"
    assert "again" in caplog.records[-1].message
    engine.close()


def test_ef_moves_until_the_target_is_held(tmp_path: Path) -> None:
    engine = watched(tmp_path / "data", recall=RecallOptions(processor_share=0.5, target=0.9))
    for query in vectors(600, seed=3, dimension=DIMENSION):
        engine.search(SearchRequest(query, 10))
        engine.recall.step()
        engine.recall.want()
    assert engine.ef_search > 10
    shared = 0
    for query in vectors(200, seed=4, dimension=DIMENSION):
        found = {hit.doc_id for hit in engine.search(SearchRequest(query, 10)).hits}
        exact = {hit.doc_id for hit in engine.search(SearchRequest(query, 10, exact=True)).hits}
        shared += len(found & exact)
    assert 0.87 < shared / 2000 < 0.97
    engine.close()


def test_a_running_engine_measures_by_itself_within_its_share(tmp_path: Path) -> None:
    share = 0.2
    engine = watched(tmp_path / "data", background=True, recall=RecallOptions(processor_share=share))
    queries = vectors(5000, seed=6, dimension=DIMENSION)
    before, started_s = engine.recall.report().processor_s, time.monotonic()
    for query in queries:
        engine.search(SearchRequest(query, 10))
        if engine.recall.report().samples >= 20:
            break
    elapsed_s = time.monotonic() - started_s
    report = engine.recall.report()
    engine.close()
    assert report.samples >= 3
    assert report.processor_s - before <= share * elapsed_s + 0.05
    engine.search(SearchRequest(queries[0], 10))
    assert engine.recall.report().samples <= report.samples + 1


@pytest.mark.parametrize("error", [Unavailable("closing"), MemoryError(), ValueError("x")], ids=repr)
def test_a_sample_that_fails_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    engine = watched(tmp_path / "data", recall=RecallOptions(processor_share=0.2))

    def failing(request: SearchRequest) -> SearchResult:
        raise error

    queries = vectors(2, seed=6, dimension=DIMENSION)
    with monkeypatch.context() as patched:
        patched.setattr(engine.reads, "search_tiers", failing)
        engine.recall.want()
        engine.recall.offer(SearchRequest(queries[0], 10), engine.search(SearchRequest(queries[0], 10)))
        assert engine.recall.step()
    samples = engine.recall.report().samples
    engine.recall.want()
    engine.search(SearchRequest(queries[1], 10))
    assert engine.recall.step()
    assert engine.recall.report().samples == samples + 1
    engine.close()


def result(*rows: tuple[int, float], cached: CachedKind | None = None) -> SearchResult:
    return SearchResult(
        [ScoredDocument(doc_id, score) for doc_id, score in rows], len(rows), 1, cached=cached
    )


def test_what_is_as_good_as_the_last_of_the_truth_counts_as_found() -> None:
    exact = result((1, 0.9), (2, 0.5))
    assert recall_of(result((1, 0.9), (7, 0.5)), exact) == 1.0
    assert recall_of(result((1, 0.9), (7, 0.4)), exact) == 0.5
    assert recall_of(result((1, 0.9), (2, 0.5), (7, 0.5)), exact) == 1.0
    assert recall_of(result((8, 0.5), cached=CachedKind.THRESHOLD), exact) == 0.0


def test_old_samples_are_forgotten_and_their_number_is_bounded() -> None:
    clock = FakeClock()
    tally = RecallTally(clock)
    assert tally.overall() is None
    cold = SearchClass("cold", filtered=False)
    tally.add(cold, 0.0)
    clock.advance(AGE_S_MAX + 1)
    for _ in range(SAMPLES_MAX + 5):
        tally.add(cold, 1.0)
    overall = tally.overall()
    assert overall is not None
    assert (overall.mean, overall.samples) == (1.0, SAMPLES_MAX)
    clock.advance(AGE_S_MAX + 1)
    assert tally.overall() is None
    assert tally.by_class() == {}
