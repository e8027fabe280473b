"""Durable BulkInsert against the same stream into a handler that only reads it.

python -m benchmarks.grpc_bulk_insert [--data DIR] [--count N] [--transport h2corn]
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc

from benchmarks import serving
from pykyro.model.limits import STREAM_MESSAGES_MAX
from pykyro.proto import kyrodb_pb2 as pb


def floor_handlers() -> dict[str, Any]:
    async def bulk_insert(messages: AsyncIterator[bytes], context: object) -> bytes:
        count = 0
        async for _ in messages:
            count += 1
        return pb.InsertResponse(success=True, total_inserted=count).SerializeToString()

    return {"BulkInsert": grpc.stream_unary_rpc_method_handler(bulk_insert)}


def documents_per_s(port: int, payloads: Sequence[bytes]) -> float:
    """The rate at which one stream is taken."""
    load = serving.h2load(port, "BulkInsert", payloads, requests=1, callers=1)
    return len(payloads) * load.requests_per_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--count", type=int, default=STREAM_MESSAGES_MAX)
    parser.add_argument("--transport", nargs="+", default=["h2corn", "grpcio"])
    options = parser.parse_args()
    docs = serving.vectors(options.data, options.count, 384)
    payloads = [
        pb.InsertRequest(
            doc_id=row + 1, embedding=vector.tolist(), metadata={"row": str(row)}
        ).SerializeToString()
        for row, vector in enumerate(docs)
    ]
    for transport in options.transport:
        ours: list[float] = []
        floors: list[float] = []
        with serving.floor(transport, floor_handlers) as floor_port:
            for _ in range(serving.ROUNDS):
                floors.append(documents_per_s(floor_port, payloads))
                # Each round into an empty database: replacing documents is other work.
                with serving.server(server__transport=transport, hnsw__dimension=docs.shape[1]) as running:
                    ours.append(documents_per_s(running.port, payloads))
                    stored = running.stub.Metrics(pb.MetricsRequest())
                    if stored.hot_tier_size + stored.cold_tier_size != len(payloads):
                        raise RuntimeError(f"not every document was stored: {stored}")
        serving.report(f"BulkInsert, {transport}", ours, floors, "documents/s")


if __name__ == "__main__":
    main()
