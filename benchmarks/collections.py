"""Many small collections against one collection of the same documents: start, memory of an idle one, first search."""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np

import pykyro
from benchmarks.report import Row, show

_STARTS = 5
_COLD_SEARCHES = 100
_GROUP = 5000


def fill_many(place: Path, collections: int, documents: int, dimension: int) -> None:
    """So many collections of so many documents each, sealed and closed."""
    rng = np.random.default_rng(1)
    with pykyro.open(place, dimension=dimension) as db:
        for number in range(collections):
            collection = db.create_collection(f"c{number}", dimension)
            rows = rng.normal(size=(documents, dimension)).astype(np.float32)
            collection.insert_many(enumerate(rows, 1))
            collection.flush()


def fill_one(place: Path, documents: int, dimension: int) -> None:
    """One collection of all documents, as its background leaves it."""
    rng = np.random.default_rng(1)
    with pykyro.open(place, dimension=dimension) as db:
        for first in range(1, documents + 1, _GROUP):
            rows = rng.normal(size=(min(_GROUP, documents + 1 - first), dimension)).astype(np.float32)
            db.insert_many(enumerate(rows, first))
        db.flush()


def start_s(place: Path, dimension: int) -> float:
    """Seconds to open the database."""
    taken = []
    for _ in range(_STARTS):
        began = time.perf_counter()
        db = pykyro.open(place, dimension=dimension)
        taken.append(time.perf_counter() - began)
        db.close()
    return statistics.median(taken)


def idle_bytes(place: Path, collections: int, dimension: int) -> float:
    """Bytes of the interpreter that a closed collection takes in an open database, above one with none."""
    sizes = []
    with tempfile.TemporaryDirectory() as empty:
        for directory in (Path(empty), place):
            gc.collect()
            tracemalloc.start()
            with pykyro.open(directory, dimension=dimension):
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])
            tracemalloc.stop()
    return (sizes[1] - sizes[0]) / collections


def first_search_ms(place: Path, collections: int, dimension: int) -> tuple[float, float]:
    """Median milliseconds of the first search of a closed collection, and of the next."""
    query = np.ones(dimension, np.float32)
    cold: list[float] = []
    warm: list[float] = []
    with pykyro.open(place, dimension=dimension) as db:
        for number in range(min(collections, _COLD_SEARCHES)):
            collection = db.collection(f"c{number}")
            for taken in (cold, warm):
                began = time.perf_counter()
                collection.search(query)
                taken.append(time.perf_counter() - began)
    return statistics.median(cold) * 1e3, statistics.median(warm) * 1e3


def sync_ms(place: Path) -> float:
    """Median milliseconds of one fsync on this disk: a cold collection that is opened needs a few."""
    taken = []
    with (place / "probe").open("wb") as file:
        for _ in range(50):
            file.write(b"x" * 512)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collections", type=int, default=2000)
    parser.add_argument("--documents", type=int, default=500, help="documents of each")
    parser.add_argument("--dimension", type=int, default=384)
    options = parser.parse_args()
    count, dimension = options.collections, options.dimension
    with tempfile.TemporaryDirectory() as directory:
        many, one = Path(directory, "many"), Path(directory, "one")
        fill_many(many, count, options.documents, dimension)
        fill_one(one, count * options.documents, dimension)
        many_s, one_s = start_s(many, dimension), start_s(one, dimension)
        idle = idle_bytes(many, count, dimension)
        cold_ms, warm_ms = first_search_ms(many, count, dimension)
        synced_ms = sync_ms(Path(directory))
    show(
        [
            Row(
                f"start with {count:,} collections of {options.documents} documents",
                f"{many_s * 1e3:.0f} ms",
                f"one collection of all {one_s * 1e3:.0f} ms",
                many_s / one_s,
                "≤ 2",
            ),
            Row("memory of a closed collection", f"{idle:.0f} bytes", "8 KiB", idle / 8192, "≤ 1"),
            Row(
                "first search of a closed collection",
                f"{cold_ms:.1f} ms",
                f"20 ms (the next takes {warm_ms:.2f} ms, an fsync {synced_ms:.1f} ms)",
                cold_ms / 20,
                "≤ 1",
            ),
        ]
    )


if __name__ == "__main__":
    main()
