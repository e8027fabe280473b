"""What keys cost: Search throughput with auth and rate limits against without; 10,000 tenants against one.

python -m benchmarks.auth [--data DIR] [--count N] [--transport h2corn] [--requests N] [--tenants N]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from tests.server.running import running_server, start_server
from tests.tenancy.keys import entry, key_of, write_keys

from benchmarks import paired, serving
from benchmarks.report import Row, show
from pykyro.model.types import Matrix
from pykyro.tenancy.api_keys import HASH_PREFIX, digest_of

DIMENSION = 384
PLENTY = 10_000_000
"""Calls a second that nobody reaches, so that every bucket is counted and none is empty."""
STARTS = 3
KEY = key_of("acme", "b" * 32)


def guarded(keys: Path) -> dict[str, Any]:
    return {
        "auth__enabled": "true",
        "auth__api_keys_file": keys,
        "rate_limit__enabled": "true",
        "rate_limit__max_qps_per_connection": PLENTY,
        "rate_limit__max_qps_global": PLENTY,
        "rate_limit__burst_capacity": PLENTY,
    }


def throughput(docs: Matrix, transport: str, requests: int) -> list[Row]:
    settings = serving.room_for(docs, transport)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        keys = write_keys(
            Path(one) / "keys.yaml", entry("acme", key=KEY, is_admin="true", max_vectors=PLENTY)
        )
        with (
            running_server(Path(one), **settings, **guarded(keys)) as closed,
            running_server(Path(other), **settings) as free,
        ):
            serving.load(closed, docs, KEY)
            serving.load(free, docs)
            return paired.compare(
                f"Search with a key and rate limits, {transport}",
                paired.searching(closed, docs, requests=requests, key=KEY),
                paired.searching(free, docs, requests=requests),
                "without",
                "≥ 0.85",
            )


def hashed(tenant_id: str) -> dict[str, object]:
    """An entry of the key file as `kyrodb keys new` writes it."""
    digest = digest_of(key_of(tenant_id, "k" * 32)).hex()
    return entry(tenant_id, key=None, key_hash=HASH_PREFIX + digest)


def started(directory: Path, keys: Path) -> tuple[float, int]:
    """Seconds until /ready, and resident bytes then."""
    began_s = time.perf_counter()
    server = start_server(directory, {"hnsw__dimension": 8, **guarded(keys)})
    server.wait_ready()
    seconds = time.perf_counter() - began_s
    time.sleep(1)
    resident = psutil.Process(server.process.pid).memory_info().rss
    server.stop()
    return seconds, resident


def tenants(count: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        few = write_keys(Path(one) / "keys.yaml", hashed("t0"))
        many = write_keys(Path(other) / "keys.yaml", *(hashed(f"t{at}") for at in range(count)))
        # The first start of each gives the tenants their numbers.
        started(Path(one), few)
        started(Path(other), many)
        pairs = [(started(Path(one), few), started(Path(other), many)) for _ in range(STARTS)]
    one_s, many_s = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
    idle = statistics.median((pair[1][1] - pair[0][1]) / (count - 1) for pair in pairs)
    return [
        Row(
            f"start with {count:,} tenants",
            f"{many_s:.2f} s",
            f"one tenant {one_s:.2f} s",
            many_s / one_s,
            "≤ 2",
        ),
        Row("memory of an idle tenant", f"{idle:,.0f} bytes", "2,048 bytes", idle / 2048, "≤ 1"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--transport", nargs="+", default=["h2corn", "grpcio"])
    parser.add_argument("--requests", type=int, default=8000)
    parser.add_argument("--tenants", type=int, default=10_000)
    options = parser.parse_args()
    docs = serving.vectors(options.data, options.count, DIMENSION)
    rows = [row for transport in options.transport for row in throughput(docs, transport, options.requests)]
    show(rows + tenants(options.tenants))


if __name__ == "__main__":
    main()
