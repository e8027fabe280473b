"""The metrics of the document cache say what happened."""

from __future__ import annotations

from pathlib import Path

from tests.engine.opening import fill, open_small, vectors

from pykyro.engine.options import CacheOptions
from pykyro.service.measurements import document_cache
from pykyro.telemetry.exposition import render


def test_lookups_and_evictions_are_counted(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data", cache=CacheOptions(documents_max=3))
    fill(engine, vectors(5))
    for doc_id in (1, 1, 2, 3, 4, 5):
        engine.get(doc_id)
    cache = engine._context.caches.documents
    assert cache is not None
    lines = render(document_cache(cache)).splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "kyrodb_document_cache_size 3",
        'kyrodb_document_cache_lookups_total{outcome="hit"} 1',
        'kyrodb_document_cache_lookups_total{outcome="miss"} 5',
        "kyrodb_document_cache_evictions_total 2",
    ]
    engine.close()
