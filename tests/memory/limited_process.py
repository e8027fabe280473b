"""A process with a memory limit that works on a database and reports how much memory it took.

python -m tests.memory.limited_process DIRECTORY LIMIT_MIB WORK COUNT

It prints one JSON object and, unless WORK ends in -check, ends as if killed by the system.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np

import pykyro
from pykyro.model.errors import ResourceExhausted

DIMENSION = 32
TEXT_BYTES = 100_000
PATIENCE_S = 120.0


class HighWater(threading.Thread):
    """The most resident anonymous memory this process had, in bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self.start()

    def run(self) -> None:
        while True:
            self.look()
            time.sleep(0.003)

    def look(self) -> None:
        with open("/proc/self/status", encoding="ascii") as status:
            found = next(line for line in status if line.startswith("RssAnon"))
        self.bytes = max(self.bytes, int(found.split()[1]) * 1024)


def vector(doc_id: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.random.default_rng(doc_id).standard_normal(DIMENSION).astype(np.float32)


def text(doc_id: int) -> str:
    return random.Random(doc_id).randbytes(TEXT_BYTES // 2).hex()


def keys(doc_id: int) -> dict[str, str]:
    return {f"k{(doc_id * 131 + at * 7) % 5000}": f"{doc_id % 97}" for at in range(1000)}


def metadata_of(work: str, doc_id: int) -> dict[str, str]:
    return keys(doc_id) if work.startswith("keys") else {"text": text(doc_id)}


def insisting(change: Callable[[], object], refusals: list[str]) -> None:
    """Do it, again as long as it is refused for want of memory."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            change()
            return
        except ResourceExhausted as refusal:
            if time.monotonic() > until_s:
                raise
            refusals.append(str(refusal))
            time.sleep(min(0.2, refusal.retry_after_s or 0.2))


def load(database: pykyro.Database, work: str, count: int, refusals: list[str]) -> Iterator[int]:
    for doc_id in range(1, count + 1):
        metadata = metadata_of(work, doc_id)
        insisting(lambda: database.insert(doc_id, vector(doc_id), metadata), refusals)  # noqa: B023
        yield doc_id


def merges(database: pykyro.Database, count: int, refusals: list[str]) -> Iterator[int]:
    """Many tiny updates of one document of a megabyte."""
    database.insert(1, vector(1), {"text": "x" * 1_000_000})
    for at in range(count):
        update = {"at": str(at)}
        insisting(lambda: database.update_metadata(1, update, merge=True), refusals)  # noqa: B023
        yield at


def _is_right(database: pykyro.Database, work: str, doc_id: int, count: int) -> bool:
    found = database.get(doc_id)
    if found is None:
        return False
    if work.startswith("merges"):
        return bool(found.metadata["at"] == str(count - 1))
    return found.metadata == metadata_of(work, doc_id)


def main() -> None:
    directory, limit, work, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    high = HighWater()
    report: dict[str, object] = {}
    started_s = time.monotonic()
    checks = work.endswith("-check")
    database = pykyro.open(
        directory,
        dimension=DIMENSION,
        memory_limit=f"{limit}MiB",
        sync="data_only",
        background="unsealed" not in work,
    )
    report["opened_s"] = time.monotonic() - started_s
    refusals: list[str] = []
    if checks:
        report["right"] = sum(_is_right(database, work, doc_id, count) for doc_id in range(1, count + 1))
    else:
        made = (
            merges(database, count, refusals) if work == "merges" else load(database, work, count, refusals)
        )
        report["acknowledged"] = sum(1 for _ in made)
    high.look()
    report |= {
        "refusals": len(refusals),
        "refusal": refusals[-1] if refusals else "",
        "high_bytes": high.bytes,
        "stats": str(database.stats()),
        "health": str(database.health()),
        "taken_s": time.monotonic() - started_s,
    }
    print(json.dumps(report), flush=True)
    if not checks:
        os.kill(os.getpid(), signal.SIGKILL)
    database.close()


if __name__ == "__main__":
    main()
