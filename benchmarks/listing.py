"""Listing documents: a loop over all against reading the same files, a count with a filter, a page far inside.

python -m benchmarks.listing [--count N]
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import psutil

import pykyro
from benchmarks.report import Row, arguments, show

_DIMENSION = 384
_BATCH = 10_000
_TURNS = 5


def _stored(directory: Path, count: int) -> None:
    random = np.random.default_rng(0)
    with pykyro.open(directory, dimension=_DIMENSION) as db:
        for first in range(1, count + 1, _BATCH):
            rows = random.normal(size=(min(_BATCH, count + 1 - first), _DIMENSION)).astype(np.float32)
            metadata = ({"n": str(first + at), "kind": f"kind {at % 100}"} for at in range(len(rows)))
            db.insert_many(
                (first + at, row, one) for (at, row), one in zip(enumerate(rows), metadata, strict=True)
            )
        db.flush()


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _read_files(directory: Path) -> int:
    return sum(len(path.read_bytes()) for path in sorted(directory.glob("segment_*.rows")))


def _through_all(db: pykyro.Database) -> int:
    return sum(1 for _ in db.documents(include_vectors=True))


def main() -> None:
    options = arguments(__doc__ or "")
    count: int = options.count
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name) / "data"
        _stored(directory, count)
        with pykyro.open(directory, dimension=_DIMENSION, background=False) as db:
            process = psutil.Process()
            read, loop = [], []
            before = process.memory_info()
            for _ in range(_TURNS):
                read.append(_seconds(lambda: _read_files(directory)))
                loop.append(_seconds(lambda: _through_all(db)))
            after = process.memory_info()
            # Pages of mapped files are the system's; what the process has of its own must not grow with the rows.
            grown = (after.rss - after.shared) - (before.rss - before.shared)
            middle = f"up:{count // 2}"
            page = min(_seconds(lambda: db.scroll(page_token=middle, limit=100)) for _ in range(20))
            first = min(_seconds(lambda: db.scroll(limit=100)) for _ in range(20))
            counted = min(_seconds(partial(db.count, filter={"kind": f"kind {at}"})) for at in range(20))
            searched = min(
                _seconds(partial(db.search, np.ones(_DIMENSION), filter={"kind": f"kind {at}"}))
                for at in range(20, 40)
            )
            rows = [
                Row(
                    f"every one of {count} documents, vectors and metadata",
                    f"{count / min(loop) / 1e3:.0f} k/s",
                    f"{count / min(read) / 1e3:.0f} k/s (the bytes of the same files)",
                    min(read) / min(loop),
                    "≥ 0.3",
                ),
                Row("memory that this took", f"{grown / 2**20:.1f} MiB", "64 MiB", grown / 2**26, "≤ 1"),
                Row(
                    "a page of 100 from the middle",
                    f"{page * 1e6:.0f} us",
                    f"{first * 1e6:.0f} us, the first",
                    page / first,
                    "≤ 1.5",
                ),
                Row(
                    "a count with a filter of 1 %",
                    f"{counted * 1e6:.0f} us",
                    f"{searched * 1e6:.0f} us, a search with one",
                    counted / searched,
                    "≤ 1",
                ),
            ]
    show(rows)


if __name__ == "__main__":
    main()
