"""One client in good faith beside thousands that are not (tests/server/hostile.py): its p99, and what they leave.

The attackers run at the lowest priority, as they would on machines of their own.

python -m benchmarks.hostile_clients [--attacks N] [--at-once N] [--transport h2corn]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
from tests.server.running import RunningServer, running_server
from tests.tenancy.keys import entry, key_of, write_keys

from benchmarks import serving
from benchmarks.report import Row, p99_us, show
from pykyro.proto import kyrodb_pb2 as pb

DIMENSION = 64
QUIET_S = 15.0
HELD_S = 5.0
PAUSE_S = 0.002
KEY = key_of("acme", "g" * 32)


def ask(running: RunningServer, questions: list[pb.SearchRequest], until: Callable[[], bool]) -> list[float]:
    """Seconds each search took, one after the other."""
    seconds: list[float] = []
    while not until():
        started = time.perf_counter()
        running.stub.Search(
            questions[len(seconds) % len(questions)], metadata=(("x-api-key", KEY),), timeout=60
        )
        seconds.append(time.perf_counter() - started)
        time.sleep(PAUSE_S)
    return seconds


def after(seconds: float) -> Callable[[], bool]:
    end_s = time.monotonic() + seconds
    return lambda: time.monotonic() >= end_s


def under_attack(
    running: RunningServer, questions: list[pb.SearchRequest], attacks: int, at_once: int
) -> list[float]:
    """The searches while so many attacks are made, and while what they leave open is open."""
    command = [
        "nice",
        "-n",
        "19",
        sys.executable,
        "-m",
        "tests.server.hostile",
        str(running.port),
        str(running.http_port),
    ]
    attackers = subprocess.Popen(
        [*command, str(attacks), str(at_once)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    holding = threading.Event()

    def wait() -> None:
        assert attackers.stdout is not None
        attackers.stdout.readline()
        holding.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    try:
        seconds = ask(running, questions, holding.is_set)
        seconds += ask(running, questions, after(HELD_S))
        outcomes, _ = attackers.communicate("over\n", timeout=120)
        print(f"  {outcomes.strip()}", flush=True)
    finally:
        attackers.kill()
        attackers.wait()
        waiting.join()
    return seconds


def measure(transport: str, attacks: int, at_once: int) -> list[Row]:
    docs = serving.vectors(None, 5000, DIMENSION)
    questions = [pb.SearchRequest(query_embedding=row.tolist(), k=10, ef_search=50) for row in docs[:200]]
    with tempfile.TemporaryDirectory() as directory:
        keys = write_keys(
            Path(directory) / "keys.yaml", entry("acme", key=KEY, is_admin="true", max_vectors=10_000)
        )
        with running_server(
            Path(directory),
            server__transport=transport,
            hnsw__dimension=DIMENSION,
            auth__enabled="true",
            auth__api_keys_file=keys,
        ) as running:
            serving.load(running, docs, KEY)
            process = psutil.Process(running.process.pid)
            ask(running, questions, after(QUIET_S / 3))
            memory, files = process.memory_info().rss, process.num_fds()
            quiet = ask(running, questions, after(QUIET_S))
            attacked = under_attack(running, questions, attacks, at_once)
            quiet += ask(running, questions, after(QUIET_S))
            left, left_files = process.memory_info().rss, process.num_fds()
    return [
        Row(
            f"p99 of a client beside {attacks:,} hostile calls, {transport}",
            f"{p99_us(attacked) / 1e3:.2f} ms",
            f"without {p99_us(quiet) / 1e3:.2f} ms",
            p99_us(attacked) / p99_us(quiet),
            "≤ 2",
        ),
        Row(
            f"median, {transport}",
            f"{np.median(attacked) * 1e3:.2f} ms",
            f"without {np.median(quiet) * 1e3:.2f} ms",
            float(np.median(attacked) / np.median(quiet)),
            "",
        ),
        Row(
            f"memory afterwards, {transport}; open files {left_files} of {files}",
            f"{left / 2**20:.0f} MiB",
            f"before {memory / 2**20:.0f} MiB",
            left / memory,
            "≤ 1.1",
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="ignored: the vectors do not matter here")
    parser.add_argument("--attacks", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=256)
    parser.add_argument("--transport", nargs="+", default=["h2corn", "grpcio"])
    options = parser.parse_args()
    rows = []
    for transport in options.transport:
        rows += measure(transport, options.attacks, options.at_once)
    show(rows)


if __name__ == "__main__":
    main()
