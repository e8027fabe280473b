"""Ask a server: the same methods as embedded, and what to do when it refuses.

kyrodb_server &                        # hnsw.dimension as the server has it
python examples/client.py [host:port] [api key]
"""

from __future__ import annotations

import sys

import numpy as np

import pykyro


def main(target: str, api_key: str | None) -> None:
    with pykyro.Client(target, api_key=api_key, timeout_s=10) as db:
        stats = db.stats()
        print(f"{stats.documents} documents of {stats.dimension} components, {stats.distance}")

        vectors = np.random.default_rng(7).normal(size=(100, stats.dimension))
        report = db.insert_many(
            ((at + 1, vector, {"shelf": at % 5}) for at, vector in enumerate(vectors)), namespace="example"
        )
        print(f"stored {report.inserted}, refused {len(report.refused)}")

        answer = db.search(vectors[41], k=3, namespace="example", filter={"shelf": {"$in": [1, 2]}})
        print("nearest to document 42 on its shelves:", *(hit.id for hit in answer))
        print(f"found by: {answer.plan}")

        try:
            db.insert(1, np.full(stats.dimension, np.nan))
        except pykyro.InvalidArgument as error:
            print(f"refused: {error}")

        print("removed:", db.delete_many(filter={"shelf": {"$exists": True}}, namespace="example"))


if __name__ == "__main__":
    try:
        main(
            sys.argv[1] if len(sys.argv) > 1 else "localhost:50051",
            sys.argv[2] if len(sys.argv) > 2 else None,
        )
    except pykyro.Unavailable as error:
        sys.exit(f"no server: {error}")
