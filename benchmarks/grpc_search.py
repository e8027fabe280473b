"""Search over gRPC against a server that only decodes, calls faiss and encodes.

python -m benchmarks.grpc_search [--data DIR] [--count N] [--transport h2corn] [--callers 1 32]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from benchmarks import serving
from pykyro.index.vector.coding import Code
from pykyro.index.vector.graph_build import GraphParameters, build_graph
from pykyro.index.vector.hnsw import Graph
from pykyro.model import distance
from pykyro.model.arguments import Schema
from pykyro.model.requests import ScoredDocument, SearchResult, Tier
from pykyro.model.types import Matrix, Metric
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto import kyrodb_wire_pb2 as wire
from pykyro.transport.grpc.search_codec import GrpcSearchCodec

EF = 50
K = 10


def floor_graph(docs: Matrix) -> Graph:
    """The graph a segment of these rows has, for the library alone to search."""
    parameters = GraphParameters(16, 200, Metric.COSINE)
    return build_graph(distance.normalised(docs), parameters, Code.BF16, by_product=True, threads=2)


def floor_handlers(docs: Matrix) -> dict[str, Any]:
    graph = floor_graph(docs)
    codec = GrpcSearchCodec(Schema(docs.shape[1], Metric.COSINE))

    async def search(payload: bytes, context: object) -> bytes:
        request = wire.SearchRequest.FromString(payload)
        query = np.frombuffer(request.query_embedding, np.float32)
        query = query / np.sqrt(np.dot(query, query))
        rows, scores = graph.search(query, request.k, request.ef_search)
        hits = [ScoredDocument(row + 1, score) for row, score in zip(rows.tolist(), scores.tolist())]
        result = SearchResult(hits, len(hits), position=0, tiers=frozenset((Tier.COLD,)), exact=False)
        return codec.encode(result, 0.0, with_plan=True)

    return {"Search": grpc.unary_unary_rpc_method_handler(search)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--transport", nargs="+", default=["h2corn", "grpcio"])
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--requests", type=int, default=10_000)
    options = parser.parse_args()
    docs = serving.vectors(options.data, options.count, 384)
    # Asking for ef goes past the query cache, which would answer a payload that repeats.
    message = pb.SearchRequest(
        query_embedding=(docs[3] + docs[8]).tolist(), k=K, ef_search=EF
    ).SerializeToString()
    for transport in options.transport:
        settings = serving.room_for(docs, transport)
        with (
            serving.server(**settings) as running,
            serving.floor(transport, floor_handlers, docs) as floor_port,
        ):
            serving.load(running, docs)
            for callers in options.callers:
                ours: list[serving.Load] = []
                floors: list[serving.Load] = []
                requests = options.requests if callers > 1 else options.requests // 4
                for _ in range(serving.ROUNDS):
                    for port, loads in ((floor_port, floors), (running.port, ours)):
                        loads.append(
                            serving.h2load(port, "Search", [message], requests=requests, callers=callers)
                        )
                serving.report(
                    f"Search, {transport}, {callers} callers",
                    [load.requests_per_s for load in ours],
                    [load.requests_per_s for load in floors],
                    "requests/s",
                )
                print(f"  ours mean {ours[-1].mean_ms:.2f} ms, max {ours[-1].max_ms:.2f} ms")


if __name__ == "__main__":
    main()
