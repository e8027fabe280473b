"""What the serving benchmarks share: data, a real server, a floor to compare with, and load.

A floor is the least any server on this transport can do for the same bytes. Both are measured in turns in one
run, because the machine's mood changes more between runs than a server does.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import uvloop
from tests.server.running import RunningServer, free_port, running_server

from pykyro.config import Settings
from pykyro.memory.budget import MemoryBudget
from pykyro.model.limits import OPEN_CONNECTIONS_MAX
from pykyro.model.types import Matrix
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.service.admission import Admission
from pykyro.transport.grpc.grpcio_server import GrpcioServer
from pykyro.transport.grpc.h2.server import H2Server
from pykyro.transport.listening import Address
from pykyro.version import SERVICE

ROUNDS = 3
_FLOOR_BYTES = 8 << 30
_QUIET = 6
"""Seconds without a process that builds a graph, after which none is expected."""


@dataclass(frozen=True, slots=True)
class Load:
    """What h2load saw."""

    requests_per_s: float
    mean_ms: float
    max_ms: float


def vectors(path: Path | None, rows: int, dimension: int) -> Matrix:
    """The first rows of docs.npy in a directory, or vectors around seeded cluster centres; float32."""
    if path is not None:
        stored = np.load(path / "docs.npy", mmap_mode="r", allow_pickle=False)
        return np.ascontiguousarray(stored[:rows], dtype=np.float32)
    random = np.random.default_rng(7)
    centres = random.standard_normal((max(1, rows // 100), dimension))
    around = centres[random.integers(len(centres), size=rows)]
    return np.asarray(around + 0.4 * random.standard_normal((rows, dimension)), dtype=np.float32)


def questions(docs: Matrix, count: int, *, seed: int) -> Matrix:
    """So many, each between two documents."""
    pairs = np.random.default_rng(seed).integers(len(docs), size=(count, 2))
    return np.ascontiguousarray(docs[pairs[:, 0]] + docs[pairs[:, 1]])


def load(running: RunningServer, docs: Matrix, key: str = "") -> None:
    """Store the documents and wait until they lie in segments that nobody merges any more."""
    messages = (
        pb.InsertRequest(doc_id=row + 1, embedding=vector.tolist()) for row, vector in enumerate(docs)
    )
    metadata = (("x-api-key", key),) if key else ()
    response = running.stub.BulkLoadHnsw(messages, metadata=metadata)
    if not response.success:
        raise RuntimeError(response.error)
    running.stub.FlushHotTier(pb.FlushRequest(force=True), metadata=metadata)
    process, quiet = psutil.Process(running.process.pid), 0
    while quiet < _QUIET:
        time.sleep(1)
        quiet = 0 if process.children() else quiet + 1  # graphs are built by a process of their own
    print(f"loaded {len(docs)} rows: {_segments(running)}", flush=True)


def _segments(running: RunningServer) -> str:
    lines = running.http("/metrics").text.splitlines()
    return ", ".join(line for line in lines if line.startswith(("kyrodb_segments ", "kyrodb_merges_total ")))


def room_for(docs: Matrix, transport: str) -> dict[str, Any]:
    """Settings of a server that is to hold these documents, and as many again."""
    return {
        "server__transport": transport,
        "hnsw__dimension": docs.shape[1],
        "hnsw__max_elements": 2 * len(docs),
    }


@contextlib.contextmanager
def server(**settings: Any) -> Iterator[RunningServer]:
    """A real server over an empty directory."""
    with tempfile.TemporaryDirectory() as directory, running_server(Path(directory), **settings) as running:
        yield running


@contextlib.contextmanager
def floor(transport: str, handlers: Callable[..., dict[str, Any]], *arguments: object) -> Iterator[int]:
    """The port of a process that serves only `handlers(*arguments)`, on the same transport."""
    context = multiprocessing.get_context("spawn")
    port, ready = free_port(), context.Event()
    process = context.Process(target=_serve_floor, args=(transport, port, ready, handlers, arguments))
    process.start()
    try:
        if not ready.wait(120):
            raise RuntimeError("the floor server did not start")
        yield port
    finally:
        process.terminate()
        process.join()


def h2load(
    port: int, rpc: str, messages: Iterable[bytes], *, requests: int, callers: int, key: str = ""
) -> Load:
    """Calls that all send these messages, over `callers` connections (Debian: nghttp2-client).

    A Python client would be slower than the servers it measures, most of all when it streams.
    """
    program = shutil.which("h2load")
    if program is None:
        raise SystemExit("h2load is missing: apt-get install nghttp2-client")
    with tempfile.NamedTemporaryFile() as payload:
        payload.writelines(b"\0" + len(message).to_bytes(4, "big") + message for message in messages)
        payload.flush()
        command = [program, "-n", str(requests), "-c", str(callers), "-m", "1", "-t", "1", "-d", payload.name]
        command += ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        command += ["-H", f"x-api-key: {key}"] if key else []
        command.append(f"http://127.0.0.1:{port}/{SERVICE}/{rpc}")
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if f"{requests} succeeded" not in output:
        raise RuntimeError(output)
    total = re.search(r"finished in ([\d.]+[mu]?s),", output)
    times = re.search(r"time for request:\s+(\S+)\s+(\S+)\s+(\S+)", output)
    assert total is not None
    assert times is not None
    return Load(1e3 * requests / _milliseconds(total[1]), _milliseconds(times[3]), _milliseconds(times[2]))


def report(name: str, ours: Sequence[float], floors: Sequence[float], unit: str) -> None:
    """Medians and their ratio."""
    own, least = statistics.median(ours), statistics.median(floors)
    print(f"{name}: {own:,.0f} {unit}, floor {least:,.0f} {unit}, ratio {own / least:.2f}", flush=True)


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def _serve_floor(
    transport: str,
    port: int,
    ready: Any,
    handlers: Callable[..., dict[str, Any]],
    arguments: Sequence[object],
) -> None:
    async def serve() -> None:
        services, settings = {SERVICE: handlers(*arguments)}, Settings()
        server: H2Server | GrpcioServer
        if transport == "h2corn":
            admission = Admission(MemoryBudget(_FLOOR_BYTES, measure=None))
            server = H2Server(settings, services, admission, None, OPEN_CONNECTIONS_MAX)
        else:
            server = GrpcioServer(settings.server, services, None, OPEN_CONNECTIONS_MAX)
        await server.start(Address("127.0.0.1", port, False))
        ready.set()
        await asyncio.Event().wait()

    uvloop.run(serve())
