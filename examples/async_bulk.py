"""Many documents and many questions at once, from one event loop.

kyrodb_server &                        # hnsw.dimension as the server has it
python examples/async_bulk.py [host:port] [documents]
"""

from __future__ import annotations

import asyncio
import sys
import time

import numpy as np

import pykyro


async def main(target: str, count: int) -> None:
    async with pykyro.AsyncClient(target, timeout_s=10) as db:
        dimension = (await db.stats()).dimension
        vectors = np.random.default_rng(11).normal(size=(count, dimension)).astype(np.float32)

        started_s = time.perf_counter()
        report = await db.insert_many(enumerate(vectors, start=1), namespace="bulk")
        print(
            f"stored {report.inserted} documents, {report.inserted / (time.perf_counter() - started_s):.0f}/s"
        )

        # One stream of questions …
        answers = await db.search_many(vectors[:200], k=1, namespace="bulk")
        print(
            f"of {len(answers)} documents asked for, {sum(a[0].id == n for n, a in enumerate(answers, 1))} found"
        )

        # … or calls beside each other, in the same connection.
        several = await asyncio.gather(*(db.search(vector, k=5, namespace="bulk") for vector in vectors[:20]))
        print(f"{len(several)} calls, {sum(map(len, several))} hits")

        print("removed:", await db.delete_many(range(1, count + 1), namespace="bulk"))


if __name__ == "__main__":
    try:
        asyncio.run(
            main(
                sys.argv[1] if len(sys.argv) > 1 else "localhost:50051",
                int(sys.argv[2]) if len(sys.argv) > 2 else 5000,
            )
        )
    except pykyro.Unavailable as error:
        sys.exit(f"no server: {error}")
