"""What an archive costs a leader, and how far behind readers and followers are.

    python -m benchmarks.followers [--seconds 8]

Durable inserts of an embedded leader with its archive on and off by turns, as a ratio; then, while rows arrive at a
steady rate, how long after its acknowledgement a write is visible to a reader of the same directory in another
process, and to a follower of the archive. The store is a directory on the same disk.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import numpy as np

import pykyro
from pykyro.embedded.collections import Database
from pykyro.memory.budget import MemoryBudget
from pykyro.replication.leading import Leading
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.system.clock import SystemClock

DIMENSION: Final = 128
RATE: Final = 2000
"""Rows a second."""
PACE_S: Final = 0.01
_TURNS: Final = 6
"""Of each kind, by turns: what an fsync takes changes from second to second."""


def led(directory: Path, archive: Path) -> Leading:
    charge = MemoryBudget(1 << 40, measure=None).account("archive").charge()
    return Leading(LocalFileSystem(), directory, str(archive), SystemClock(), charge, max_lag_ms=1000)


def inserts(db: Database, seconds: float, rng: np.random.Generator) -> tuple[float, float]:
    """How many a second, and how many microseconds of processor time of this process each takes."""
    vectors, count, until_s = rng.random((256, DIMENSION), np.float32), 0, time.monotonic() + seconds
    began_s = time.process_time()
    while time.monotonic() < until_s:
        db.insert(count + 1, vectors[count & 255])
        count += 1
    return count / seconds, 1e6 * (time.process_time() - began_s) / count


def observe(path: str, follow: str | None, results: Connection, positions: Connection) -> None:
    """In another process: how long after it was acknowledged each position that is told was visible."""
    database = pykyro.open(path, follow=follow) if follow else pykyro.open(path, read_only=True)
    with database as db:
        results.send("ready")
        lags = []
        while (told := positions.recv()) is not None:
            position, acknowledged_s = told
            db.count(min_position=position, max_wait_s=60)
            lags.append(time.monotonic() - acknowledged_s)
        results.send(lags)


def lags_ms(
    db: Database, path: Path, follow: str | None, seconds: float, rng: np.random.Generator
) -> list[float]:
    """How long after it was acknowledged a write was visible there, in milliseconds."""
    context = multiprocessing.get_context("spawn")
    (results, theirs), (mine, positions) = context.Pipe(), context.Pipe()
    process = context.Process(target=observe, args=(str(path), follow, theirs, positions))
    process.start()
    assert results.recv() == "ready"
    rows, next_s, until_s = int(RATE * PACE_S), time.monotonic(), time.monotonic() + seconds
    doc_id = 1 << 32
    while time.monotonic() < until_s:
        db.insert_many((doc_id + at, rng.random(DIMENSION, np.float32)) for at in range(rows))
        doc_id += rows
        mine.send((db.position, time.monotonic()))
        next_s += PACE_S
        time.sleep(max(0.0, next_s - time.monotonic()))
    mine.send(None)
    lags: list[float] = results.recv()
    process.join()
    return [1000 * lag for lag in lags]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=8.0, help="for each figure (default: %(default)s)")
    seconds = parser.parse_args().seconds
    base, rng = Path(tempfile.mkdtemp(dir=".")).absolute(), np.random.default_rng(1)
    try:
        found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
        for turn in range(2 * _TURNS):
            on = bool(turn % 2)
            with pykyro.open(base / f"leader{turn}", dimension=DIMENSION) as db:
                leader = led(base / f"leader{turn}", base / f"archive{turn}") if on else None
                if leader is not None:
                    leader.start()
                found[on].append(inserts(db, seconds / _TURNS, rng))
                if leader is not None:
                    leader.stop()
        (rate_off, cost_off), (rate_on, cost_on) = (np.median(found[on], axis=0) for on in (False, True))
        print(
            f"durable inserts/s: archive on {rate_on:.0f}, off {rate_off:.0f}, ratio {rate_on / rate_off:.2f}"
        )
        print(f"processor time of one: {cost_on:.0f} us, {cost_off:.0f} us, ratio {cost_on / cost_off:.2f}")
        with pykyro.open(base / "paced", dimension=DIMENSION) as db:
            leader = led(base / "paced", base / "archive")
            leader.start()
            while not leader.commits:
                time.sleep(0.01)
            for name, path, follow in (
                ("reader of the directory", base / "paced", None),
                ("follower of the archive", base / "follower", str(base / "archive")),
            ):
                lags = lags_ms(db, path, follow, seconds, rng)
                p50, p99 = np.percentile(lags, [50, 99])
                print(f"lag of a {name} at {RATE} rows/s: median {p50:.1f} ms, p99 {p99:.1f} ms")
            leader.stop()
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
