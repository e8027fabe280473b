"""Engines with a query cache, and what tests ask of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.engine.opening import open_small, put, vectors

from pykyro.cache.query_cache import Mode
from pykyro.engine.engine import Engine
from pykyro.engine.options import CacheOptions
from pykyro.model.requests import SearchRequest, SearchResult
from pykyro.model.types import NAMESPACE_KEY, Matrix, Vector


def cached_engine(path: Path, mode: Mode = Mode.CERTIFIED, **options: Any) -> Engine:
    capacity = options.pop("capacity", 200)
    return open_small(path, cache=CacheOptions(query_mode=mode, query_capacity=capacity), **options)


def parts(result: SearchResult) -> list[tuple[int, float, bytes, bytes]]:
    """Everything a client sees of the hits."""
    return [
        (hit.doc_id, hit.score, hit.metadata_wire, b"" if hit.vector is None else hit.vector.tobytes())
        for hit in result.hits
    ]


def truth(engine: Engine, request: SearchRequest) -> SearchResult:
    """The answer of a scan, which goes past the cache."""
    return engine.search(
        SearchRequest(
            request.vector,
            request.k,
            filter=request.filter,
            scope=request.scope,
            min_score=request.min_score,
            exact=True,
            include_vectors=request.include_vectors,
            include_metadata=request.include_metadata,
        )
    )


def ask(engine: Engine, vector: Vector, k: int = 3, **request: Any) -> SearchResult:
    return engine.search(SearchRequest(vector, k, **request))


def many(engine: Engine) -> Matrix:
    """A thousand documents, half of them red."""
    rows = vectors(1000, seed=3)
    engine.commit(
        [
            put(at + 1, row, colour="red" if at % 2 else "blue", **{NAMESPACE_KEY: "a"})
            for at, row in enumerate(rows)
        ]
    )
    return rows
