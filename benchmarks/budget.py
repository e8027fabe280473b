"""What the budget of memory costs, and what a server does with more than it can: goodput, and fair shares.

Accounting: a server that charges against one that does not (benchmarks/unbudgeted.py), in turns. The rows called
processor are requests for each second of the server's processor time, which other work on the machine disturbs least.

Overload: exact searches, which take milliseconds each, so that clients written in Python can offer four times as many
as the server can answer.

python -m benchmarks.budget [--count N] [--transport grpcio] [--requests N] [--seconds S]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from tests.server.running import RunningServer, running_server
from tests.tenancy.keys import entry, key_of, write_keys

from benchmarks import paired, serving
from benchmarks.offered import DIMENSION, Offering, Outcome
from benchmarks.report import Row, show
from pykyro.model.types import Matrix
from pykyro.proto import kyrodb_pb2 as pb

UNBUDGETED = (sys.executable, "-m", "benchmarks.unbudgeted")
GREEDY, FAIR = key_of("greedy"), key_of("fair")
TIMES_OFFERED = 4
FAIR_CALLERS, TIMES_AS_MUCH = 2, 100
_SATURATING = (8, 16, 32)
"""Callers; the most that any number of them gets is the peak."""
_ONE_BULK = 10_000
_COST = "≥ 0.97"

Rows = list[Row]


def inserting(running: RunningServer, docs: Matrix, requests: int) -> paired.Measure:
    """Inserts of one document each by many callers; it replaces itself."""
    payload = _insert(1, docs).SerializeToString()
    process = psutil.Process(running.process.pid)

    def measure() -> tuple[float, float]:
        before = _used_s(process)
        load = serving.h2load(running.port, "Insert", [payload], requests=requests, callers=paired.CALLERS)
        return load.requests_per_s, requests / (_used_s(process) - before)

    return measure


def bulk_inserting(running: RunningServer, docs: Matrix) -> paired.Measure:
    """Documents a second in one stream."""
    payloads = [_insert(number, docs).SerializeToString() for number in range(1, _ONE_BULK + 1)]
    process = psutil.Process(running.process.pid)

    def measure() -> tuple[float, float]:
        before = _used_s(process)
        load = serving.h2load(running.port, "BulkInsert", payloads, requests=1, callers=1)
        return _ONE_BULK * load.requests_per_s, _ONE_BULK / (_used_s(process) - before)

    return measure


def _insert(number: int, docs: Matrix) -> pb.InsertRequest:
    vector = docs[number % len(docs)].tolist()
    return pb.InsertRequest(doc_id=number, embedding=vector, metadata={"row": str(number), "lang": "en"})


def _used_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def accounting(docs: Matrix, transport: str, requests: int) -> Rows:
    """Search, insert and bulk insert, charged against not charged."""
    settings = serving.room_for(docs, transport)
    rows: Rows = []
    with (
        tempfile.TemporaryDirectory() as one,
        tempfile.TemporaryDirectory() as other,
        running_server(Path(one), **settings) as charged,
        running_server(Path(other), (), UNBUDGETED, **settings) as free,
    ):
        for running in (charged, free):
            serving.load(running, docs)
        kinds: dict[str, Callable[[RunningServer], paired.Measure]] = {
            "Search": lambda running: paired.searching(running, docs, requests=requests),
            "Insert": lambda running: inserting(running, docs, requests),
            "BulkInsert": lambda running: bulk_inserting(running, docs),
        }
        for name, measuring in kinds.items():
            rows += paired.compare(
                f"{name} with its memory charged, {transport}",
                measuring(charged),
                measuring(free),
                "not charged",
                _COST,
            )
    return rows


def overload(docs: Matrix, transport: str, seconds: float) -> Rows:
    """Goodput and latency at four times what saturates, and a fair tenant beside a greedy one."""
    with tempfile.TemporaryDirectory() as directory:
        entries = (entry(name, max_vectors=10 * len(docs), is_admin="true") for name in ("greedy", "fair"))
        keys = write_keys(Path(directory) / "keys.yaml", *entries)
        settings = serving.room_for(docs, transport) | {
            "hnsw__max_elements": 4 * len(docs),
            "auth__enabled": "true",
            "auth__api_keys_file": keys,
        }
        with running_server(Path(directory), **settings) as running:
            for key in (GREEDY, FAIR):
                serving.load(running, docs, key)
            return [*_goodput(running, transport, seconds), _fairness(running, transport, seconds)]


def _goodput(running: RunningServer, transport: str, seconds: float) -> Iterator[Row]:
    def offer(kind: str, number: float) -> Outcome:
        outcome = Offering(running.port, GREEDY, seconds, kind, number).outcome()
        print(f"  {kind} {number:.0f}: {outcome}", flush=True)
        return outcome

    quiet = offer("callers", 1)
    peak = max(offer("callers", callers).answered_per_s for callers in _SATURATING)
    over = offer("rate", TIMES_OFFERED * peak)
    yield Row(
        f"answered at {TIMES_OFFERED} × the load that saturates, {transport}",
        f"{over.answered_per_s:.0f}/s",
        f"peak {peak:.0f}/s",
        over.answered_per_s / peak,
        "≥ 0.85",
    )
    yield Row(
        f"p99 of what is answered then, {transport}",
        f"{over.p99_ms:.1f} ms",
        f"quiet {quiet.p99_ms:.1f} ms",
        over.p99_ms / quiet.p99_ms,
        "≤ 5",
    )


def _fairness(running: RunningServer, transport: str, seconds: float) -> Row:
    alone, beside = [], []
    for _ in range(serving.ROUNDS):
        alone.append(Offering(running.port, FAIR, seconds, "callers", FAIR_CALLERS).outcome().answered_per_s)
        greedy = Offering(running.port, GREEDY, seconds + 2, "callers", FAIR_CALLERS * TIMES_AS_MUCH)
        beside.append(Offering(running.port, FAIR, seconds, "callers", FAIR_CALLERS).outcome().answered_per_s)
        print(f"  greedy: {greedy.outcome()}", flush=True)
    own, least = statistics.median(beside), statistics.median(alone)
    return Row(
        f"a tenant of {FAIR_CALLERS} callers beside one of {FAIR_CALLERS * TIMES_AS_MUCH}, {transport}",
        f"{own:.0f}/s",
        f"alone {least:.0f}/s",
        own / least,
        "≥ 0.4",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--transport", nargs="+", default=["grpcio"])
    parser.add_argument("--requests", type=int, default=6000)
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    docs = serving.vectors(options.data, options.count, DIMENSION)
    rows: Rows = []
    for transport in options.transport:
        rows += overload(docs, transport, options.seconds)
        rows += accounting(docs[: options.count // 4], transport, options.requests)
    show(rows)


if __name__ == "__main__":
    main()
