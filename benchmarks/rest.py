"""REST against gRPC on the same server: one caller's search, and many documents by each way in.

python -m benchmarks.rest [--data DIR] [--count N] [--requests N] [--transport h2corn]
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as arrow
from tests.server.running import RunningServer

import pykyro
from benchmarks import serving
from pykyro.model.types import Matrix
from pykyro.proto import kyrodb_pb2 as pb

K = 10
_SEARCH = "/v1/collections/default/search"
_ARROW = "application/vnd.apache.arrow.stream"
_DOCUMENTS = "/v1/collections/default/documents"


def median_ms(call: Callable[[int], object], requests: int) -> float:
    """Of one call after the other."""
    took = []
    for number in range(requests):
        started = time.perf_counter()
        call(number)
        took.append((time.perf_counter() - started) * 1000)
    return statistics.median(took)


class Caller:
    """One connection to the HTTP port, without a library's own cost."""

    def __init__(self, running: RunningServer) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", running.http_port)

    def post(self, path: str, body: bytes, kind: str = "application/json") -> bytes:
        self._connection.request("POST", path, body, {"content-type": kind})
        response = self._connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise RuntimeError(answer.decode())
        return answer


def searches(running: RunningServer, docs: Matrix, requests: int) -> None:
    """One caller's search: bytes in to bytes out, and with what a Python program has of them."""
    questions = serving.questions(docs, requests, seed=11)
    messages = [pb.SearchRequest(query_embedding=one.tolist(), k=K) for one in questions]
    bodies = [json.dumps({"vector": one.tolist(), "k": K}).encode() for one in questions]
    caller = Caller(running)
    rest, grpc = [], []
    for _ in range(serving.ROUNDS):
        grpc.append(median_ms(lambda at: running.stub.Search(messages[at]), requests))
        rest.append(median_ms(lambda at: caller.post(_SEARCH, bodies[at]), requests))
    print(
        f"Search, one caller: gRPC {min(grpc):.3f} ms, REST {min(rest):.3f} ms, {min(rest) / min(grpc):.2f} x"
    )


def arrow_body(ids: Sequence[int], docs: Matrix) -> bytes:
    vectors = arrow.FixedSizeListArray.from_arrays(arrow.array(docs.ravel()), docs.shape[1])
    table = arrow.table(
        {
            "id": arrow.array(ids, arrow.uint64()),
            "vector": vectors,
            "row": arrow.array([str(one) for one in ids], arrow.string()),
        }
    )
    sink = io.BytesIO()
    with arrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2048)
    return sink.getvalue()


def inserts(transport: str, docs: Matrix) -> None:
    """All documents, each way into an empty database: from arrays in Python to the acknowledgement."""
    ids = range(1, len(docs) + 1)

    def by_grpc(running: RunningServer) -> None:
        with pykyro.Client(f"127.0.0.1:{running.port}") as client:
            client.insert_many((at, vector, {"row": str(at)}) for at, vector in zip(ids, docs, strict=True))

    def by_arrow(running: RunningServer) -> None:
        Caller(running).post(_DOCUMENTS, arrow_body(ids, docs), _ARROW)

    def by_lines(running: RunningServer) -> None:
        lines = (
            json.dumps({"id": at, "vector": vector.tolist(), "metadata": {"row": str(at)}})
            for at, vector in zip(ids, docs, strict=True)
        )
        Caller(running).post(_DOCUMENTS, "\n".join(lines).encode(), "application/x-ndjson")

    rates: dict[str, list[float]] = {}
    for _ in range(serving.ROUNDS):
        for name, way in (("BulkInsert", by_grpc), ("Arrow", by_arrow), ("NDJSON", by_lines)):
            with serving.server(server__transport=transport, hnsw__dimension=docs.shape[1]) as running:
                # What serves REST, and pyarrow, are loaded with the first request that needs them.
                Caller(running).post(_DOCUMENTS, arrow_body((), docs[:0]), _ARROW)
                started = time.perf_counter()
                way(running)
                rates.setdefault(name, []).append(len(docs) / (time.perf_counter() - started))
                stored = running.stub.Count(pb.CountRequest()).count
                if stored != len(docs):
                    raise RuntimeError(f"{name}: {stored} of {len(docs)} documents are stored")
    floor = max(rates["BulkInsert"])
    for name, found in rates.items():
        print(
            f"{len(docs)} documents, {name}: {max(found):.0f} documents/s, {max(found) / floor:.2f} x BulkInsert"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--transport", default="grpcio")
    options = parser.parse_args()
    docs = serving.vectors(options.data, options.count, 384)
    with serving.server(**serving.room_for(docs, options.transport)) as running:
        serving.load(running, docs)
        searches(running, docs, options.requests)
    inserts(options.transport, docs)


if __name__ == "__main__":
    main()
