"""Lookups through the document cache."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from tests.engine.opening import DIMENSION, fill, open_small, put, vectors
from tests.switches import frequent_switches

from pykyro.engine.engine import Engine
from pykyro.engine.options import CacheOptions
from pykyro.model.requests import Delete, Tier, UpdateMetadata
from pykyro.model.types import NAMESPACE_KEY, Scope


def caching_engine(path: Path, *, capacity: int = 100) -> Engine:
    return open_small(path, cache=CacheOptions(documents_max=capacity))


def tier_of(engine: Engine, doc_id: int, **how: Any) -> Tier | None:
    found = engine.get(doc_id, **how)
    return None if found is None else found.tier


def test_a_document_comes_from_the_cache_the_second_time_and_is_the_same(tmp_path: Path) -> None:
    engine = caching_engine(tmp_path / "data")
    rows = vectors(20)
    fill(engine, rows, metadata={"colour": "red"})
    engine.flush()
    first, second = engine.get(7), engine.get(7)
    assert first is not None
    assert second is not None
    assert (first.tier, second.tier) == (Tier.COLD, Tier.CACHE)
    assert first.vector.tobytes() == second.vector.tobytes() == rows[6].tobytes()
    assert first.metadata == second.metadata == {"colour": "red"}
    assert tier_of(engine, 7, cached=False) is Tier.COLD
    assert engine.get(999) is None
    engine.close()


def test_a_cached_document_is_never_older_than_a_write(tmp_path: Path) -> None:
    engine = caching_engine(tmp_path / "data")
    rows = vectors(2)
    engine.write(put(1, rows[0]))
    engine.get(1)
    engine.write(put(1, rows[1]))
    found = engine.get(1)
    assert found is not None
    assert found.vector.tobytes() == rows[1].tobytes()
    assert tier_of(engine, 1) is Tier.CACHE
    engine.write(UpdateMetadata(1, {"colour": "blue"}))
    found = engine.get(1)
    assert found is not None
    assert found.metadata == {"colour": "blue"}
    engine.write(Delete(1))
    assert engine.get(1) is None
    engine.close()


def test_a_cached_document_stays_in_its_scope(tmp_path: Path) -> None:
    engine = caching_engine(tmp_path / "data")
    engine.write(put(1, vectors(1)[0], **{NAMESPACE_KEY: "a"}))
    inside, outside = Scope(namespace="a"), Scope(namespace="b")
    assert tier_of(engine, 1, scope=inside) is Tier.HOT
    assert tier_of(engine, 1, scope=inside) is Tier.CACHE
    assert tier_of(engine, 1, scope=outside) is None
    engine.close()


def test_readers_beside_a_writer_never_see_a_version_go_back(tmp_path: Path) -> None:
    engine = caching_engine(tmp_path / "data", capacity=8)
    acknowledged = dict.fromkeys(range(1, 17), 0)
    stop, failures, hits = threading.Event(), list[str](), list[int]()

    def vector(version: int) -> Any:
        return np.full(DIMENSION, version + 1, np.float32)

    for doc_id in acknowledged:
        engine.write(put(doc_id, vector(0)))

    def read(seed: int) -> None:
        source, seen = np.random.default_rng(seed), dict.fromkeys(acknowledged, 0)
        while not stop.is_set():
            doc_id = int(source.integers(1, 17))
            least = max(acknowledged[doc_id], seen[doc_id])
            found = engine.get(doc_id)
            assert found is not None
            version = int(found.vector[0]) - 1
            hits.append(found.tier is Tier.CACHE)
            if version < least:
                failures.append(f"document {doc_id}: {version} after {least}")
            seen[doc_id] = version

    readers = [threading.Thread(target=read, args=(seed,)) for seed in (1, 2)]
    source = np.random.default_rng(3)
    with frequent_switches():
        for reader in readers:
            reader.start()
        for turn in range(1, 400):
            doc_id = int(source.integers(1, 17))
            engine.write(put(doc_id, vector(turn)))
            acknowledged[doc_id] = turn
            if turn % 100 == 0:
                engine.flush()
        stop.set()
        for reader in readers:
            reader.join()
    engine.close()
    assert failures == []
    assert sum(hits) > 50


def test_without_room_for_documents_there_is_no_cache(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    fill(engine, vectors(3))
    engine.get(1)
    assert tier_of(engine, 1) is Tier.HOT
    assert engine._context.caches.documents is None
    engine.close()
