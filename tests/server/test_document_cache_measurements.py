"""Each metric of the document cache says what happened."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine.opening import fill, open_small, vectors

from kyrodb.cache.document_cache import DocumentOptions
from kyrodb.engine.engine import Engine
from kyrodb.engine.options import CacheOptions
from kyrodb.observe.exposition import render
from kyrodb.server.document_cache_measurements import document_cache_families


def engine_with(path: Path, strategy: str) -> Engine:
    documents = DocumentOptions(strategy, 10, 40, samples_min=5, control_interval_s=0.0)
    engine = open_small(path, cache=CacheOptions(documents=documents, training_interval_s=0.0))
    fill(engine, vectors(60))
    return engine


def scrape(engine: Engine) -> dict[str, float]:
    cache = engine.context.caches.documents
    assert cache is not None
    lines = render(document_cache_families(cache, engine.training)).splitlines()
    samples = [line.removeprefix("kyrodb_").rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name: float(value) for name, value in samples}


def test_everything_moves_with_what_happens(tmp_path: Path) -> None:
    engine = engine_with(tmp_path / "data", "learned")
    assert engine.training is not None
    fresh = scrape(engine)
    engine.training.step()
    assert scrape(engine)["hsc_training_skips_total"] == 1
    for _ in range(3):
        for doc_id in range(1, 13):
            engine.get(doc_id)
    for doc_id in (20, 20, 21, 22, 23, 24, 25, 26):
        engine.get(doc_id)
    for doc_id in range(30, 45):
        for _ in range(9):
            engine.get(doc_id)
    engine.training.step()
    for doc_id in range(20, 30):
        engine.get(doc_id)
        engine.get(doc_id)
    engine.training.step()
    now = scrape(engine)
    moved = {name for name in now if now[name] != fresh.get(name)}
    still = {
        "training_crashes_total",
        "training_restarts_total",
        "hsc_admission_bias",  # went and came back
        "document_cache_switches_total",
        "hsc_admission_controller_enabled",
        "hsc_target_utilization",
        "hsc_semantic_enabled",
        "hsc_semantic_fast_path_decisions_total",
        "hsc_semantic_hits_total",
        *(name for name in now if name.startswith("document_cache_policy{")),
    }
    assert set(now) - moved <= still
    assert now["document_cache_size"] == now["hsc_hot_doc_count"] == 10
    assert now["hsc_cache_utilization"] == 1.0
    lookups = [now[f'document_cache_lookups_total{{outcome="{word}"}}'] for word in ("hit", "miss")]
    assert sum(lookups) == 36 + 8 + 135 + 20 == now["document_cache_ghost_lookups_total"]
    assert now["hsc_admission_controller_adjustments_total"] > 0
    assert now["training_cycles_completed_total"] == 2
    assert now["hsc_access_logger_depth"] == 199
    compared = now["hsc_semantic_slow_path_decisions_total"]
    assert compared == now["hsc_semantic_hits_total"] + now["hsc_semantic_misses_total"] > 0
    assert 0 < now["learned_cache_accuracy"] <= 1
    assert now['document_cache_policy{policy="learned"}'] == 1
    engine.close()


def test_a_training_that_fails_is_counted_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_with(tmp_path / "data", "learned")
    training = engine.training
    assert training is not None
    turns = iter([False, False, True])
    monkeypatch.setattr(training._stopping, "wait", lambda seconds: next(turns))
    monkeypatch.setattr(training, "step", lambda: 1 // 0)
    training._run()
    now = scrape(engine)
    assert (now["training_crashes_total"], now["training_restarts_total"]) == (2, 1)
    engine.close()


def test_the_two_halves_of_an_abtest_and_the_absence_of_what_nobody_decides(tmp_path: Path) -> None:
    engine = engine_with(tmp_path / "data", "abtest")
    for doc_id in (1, 1, 2, 2, 2):
        engine.get(doc_id)
    now = scrape(engine)
    assert now['document_cache_half_hit_ratio{policy="learned"}'] == 0.5
    assert now['document_cache_half_hit_ratio{policy="lru"}'] == pytest.approx(2 / 3, abs=1e-6)
    engine.close()
    engine = engine_with(tmp_path / "other", "lru")
    assert not any(name.startswith(("learned_cache", "hsc_predictor")) for name in scrape(engine))
    engine.close()
