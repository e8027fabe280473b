"""A server with documents against one without: time until /ready, and resident memory after real searches."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import psutil
from tests.server.running import RunningServer, start_server

from benchmarks import dataset, store
from benchmarks.report import Row, arguments, show
from pykyro.proto import kyrodb_pb2 as pb

_STARTS = 3
_SEARCHES = 3000
_SETTLE_S = 6  # mapped rows are given back every few seconds


def start(parent: Path, data: dataset.Dataset) -> tuple[RunningServer, float]:
    """A server over `parent / "data"`, and seconds until /ready."""
    started = time.perf_counter()
    server = start_server(
        parent, {"hnsw__dimension": data.rows.shape[1], "hnsw__max_elements": 2 * len(data.rows)}
    )
    server.wait_ready()
    return server, time.perf_counter() - started


def resident_bytes(server: RunningServer) -> int:
    return int(psutil.Process(server.process.pid).memory_info().rss)


def ask(server: RunningServer, data: dataset.Dataset) -> None:
    for at in range(_SEARCHES):
        vector = data.queries[at % len(data.queries)].tolist()
        server.stub.Search(pb.SearchRequest(query_embedding=vector, k=10))


def measure(data: dataset.Dataset, empty: Path, full: Path) -> list[Row]:
    rest_s, stored_s, rest_bytes, stored_bytes = [], [], [], []
    for _ in range(_STARTS):
        server, seconds = start(empty, data)
        rest_s.append(seconds)
        rest_bytes.append(resident_bytes(server))
        server.stop()
        server, seconds = start(full, data)
        stored_s.append(seconds)
        ask(server, data)
        time.sleep(_SETTLE_S)
        stored_bytes.append(resident_bytes(server))
        server.stop()
    graphs = sum(file.stat().st_size for file in (full / "data").glob("*.graph"))
    floor = statistics.median(rest_bytes) + graphs
    own, rest = statistics.median(stored_s), statistics.median(rest_s)
    used = statistics.median(stored_bytes)
    return [
        Row(
            f"start to /ready with {len(data.rows):,} documents",
            f"{own:.2f} s",
            f"empty directory {rest:.2f} s",
            own / rest,
            f"floor + 1 s at most (here + {own - rest:.2f} s)",
        ),
        Row(
            f"resident memory after {_SEARCHES:,} searches",
            f"{used / 2**20:.0f} MiB",
            f"graph and codes {graphs / 2**20:.0f} MiB + server at rest {(floor - graphs) / 2**20:.0f} MiB",
            used / floor,
            "≤ 1.3",
        ),
    ]


def main() -> None:
    options = arguments(__doc__)
    data = dataset.load(options.data, options.count)
    with tempfile.TemporaryDirectory() as directory:
        empty, full = Path(directory) / "empty", Path(directory) / "full"
        empty.mkdir()
        full.mkdir()
        store.one_segment(full / "data", data).close()
        show(measure(data, empty, full))


if __name__ == "__main__":
    main()
