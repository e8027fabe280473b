"""A stream of 10,000 searches against the batched call of the vector library on the same rows, on one thread.

python -m benchmarks.grpc_bulk_search [--data DIR] [--count N] [--transport h2corn]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks import serving
from benchmarks.grpc_search import EF, K, floor_graph
from pykyro.index.vector.library import faiss
from pykyro.model import distance
from pykyro.model.limits import STREAM_MESSAGES_MAX
from pykyro.proto import kyrodb_pb2 as pb

_BATCH = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--transport", nargs="+", default=["h2corn", "grpcio"])
    options = parser.parse_args()
    docs = serving.vectors(options.data, options.count, 384)
    asked = serving.questions(docs, STREAM_MESSAGES_MAX, seed=5)
    graph = floor_graph(docs)
    faiss.omp_set_num_threads(1)
    bare, parameters = graph._index, faiss.SearchParametersHNSW(efSearch=EF)
    unit = distance.normalised(asked)
    payloads = [
        pb.SearchRequest(query_embedding=row.tolist(), k=K, ef_search=EF).SerializeToString() for row in asked
    ]
    for transport in options.transport:
        settings = serving.room_for(docs, transport)
        ours, floors = [], []
        with serving.server(**settings) as running:
            serving.load(running, docs)
            for _ in range(serving.ROUNDS):
                started = time.perf_counter()
                for start in range(0, len(unit), _BATCH):
                    bare.search(unit[start : start + _BATCH], K, params=parameters)
                floors.append(len(unit) / (time.perf_counter() - started))
                stream = serving.h2load(running.port, "BulkSearch", payloads, requests=1, callers=1)
                ours.append(len(payloads) * stream.requests_per_s)
        serving.report(f"BulkSearch, {transport}", ours, floors, "searches/s")


if __name__ == "__main__":
    main()
