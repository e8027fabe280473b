"""Engines filled for a benchmark."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.dataset import Dataset
from pykyro.engine.engine import Engine, open_engine
from pykyro.engine.options import EngineOptions
from pykyro.model.requests import Put
from pykyro.model.types import Document

_BATCH = 1000


def options(data: Dataset, *, background: bool = False, threads: int = 2) -> EngineOptions:
    return EngineOptions(
        dimension=data.rows.shape[1],
        documents_max=2 * len(data.rows),
        background=background,
        build_threads=threads,
    )


def plain_metadata(at: int) -> dict[str, str]:
    """What a small text collection has."""
    return {"source": f"s{at % 5}", "length": str(at % 997)}


def fill(
    engine: Engine,
    data: Dataset,
    metadata: Callable[[int], dict[str, str]] = plain_metadata,
    *,
    first: int = 0,
) -> None:
    """Store rows from `first` on under their number plus one."""
    for start in range(first, len(data.rows), _BATCH):
        numbers = range(start, min(len(data.rows), start + _BATCH))
        engine.commit([Put(Document(at + 1, data.rows[at], metadata(at))) for at in numbers])


def one_segment(
    path: Path, data: Dataset, metadata: Callable[[int], dict[str, str]] = plain_metadata
) -> Engine:
    """Everything in a single cold segment, nothing in the background."""
    engine = open_engine(path, options(data))
    fill(engine, data, metadata)
    engine.flush()
    return engine


def wait_until_settled(engine: Engine, *, timeout_s: float = 600) -> None:
    """Return when the background has nothing left to do."""
    deadline, quiet = time.monotonic() + timeout_s, 0
    while time.monotonic() < deadline and quiet < 5:
        time.sleep(0.5)
        stats = engine.stats()
        quiet = 0 if stats.hot_documents or engine.merging else quiet + 1
