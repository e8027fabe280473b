"""Engines for tests: small, driven by the test itself, with the real file system and graphs built in place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pykyro.engine.engine import Engine, open_engine
from pykyro.engine.maintenance.builder import InlineBuilder
from pykyro.engine.options import EngineOptions
from pykyro.model.errors import KyroError
from pykyro.model.requests import Put, SearchRequest, SearchResult
from pykyro.model.types import Document, Vector
from pykyro.storage.files.filesystem import LocalFileSystem

DIMENSION = 8


def open_small(path: Path, *, memory: Any = None, clock: Any = None, **options: Any) -> Engine:
    """An engine that does nothing by itself."""
    chosen: dict[str, Any] = {"dimension": DIMENSION, "background": False} | options
    filesystem = LocalFileSystem()
    return open_engine(
        path,
        EngineOptions(**chosen),
        filesystem=filesystem,
        builder=InlineBuilder(filesystem),
        memory=memory,
        clock=clock,
    )


def vectors(count: int, *, seed: int = 0, dimension: int = DIMENSION) -> npt.NDArray[np.float32]:
    """Random rows of shape (count, dimension)."""
    return np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)


def put(doc_id: int, vector: Vector, **metadata: str) -> Put:
    return Put(Document(doc_id, vector, metadata))


def fill(
    engine: Engine,
    rows: npt.NDArray[np.float32],
    *,
    first_id: int = 1,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Store the rows under ascending ids, all with the same metadata."""
    for answer in engine.commit([put(first_id + at, row, **(metadata or {})) for at, row in enumerate(rows)]):
        if isinstance(answer, KyroError):
            raise answer


def ids(result: SearchResult) -> list[int]:
    return [hit.doc_id for hit in result.hits]


def nearest(engine: Engine, vector: Vector, k: int = 10, **request: Any) -> list[int]:
    return ids(engine.search(SearchRequest(vector, k, **request)))


def settle(engine: Engine) -> None:
    """Let all background work that is due happen."""
    while engine.maintain():
        pass
