"""Search throughput of two servers, or of one in two conditions, in turns: the ratio that a difference costs."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
from tests.server.running import RunningServer

from benchmarks import serving
from benchmarks.report import Row
from kyrodb.proto import kyrodb_pb2 as pb
from kyrodb.types import Matrix

ROUNDS = 7
CALLERS = 16
EF = 50

Measure = Callable[[], float]


def load(running: RunningServer, docs: Matrix, key: str = "") -> None:
    """Store the documents and seal them."""
    metadata = (("x-api-key", key),) if key else ()
    messages = (pb.InsertRequest(doc_id=at + 1, embedding=row.tolist()) for at, row in enumerate(docs))
    response = running.stub.BulkInsert(messages, metadata=metadata)
    if not response.success:
        raise RuntimeError(response.error)
    running.stub.FlushHotTier(pb.FlushRequest(force=True), metadata=metadata)


def searching(running: RunningServer, docs: Matrix, *, requests: int, key: str = "") -> Measure:
    """Searches a second, all for the same question; it names an ef, so that no cache answers."""
    question = np.asarray(docs[3] + docs[8]).tolist()
    message = pb.SearchRequest(query_embedding=question, k=10, ef_search=EF).SerializeToString()

    def measure() -> float:
        load = serving.h2load(running.port, "Search", [message], requests=requests, callers=CALLERS, key=key)
        return load.requests_per_s

    return measure


def compare(figure: str, measured: Measure, floor: Measure, floor_name: str, reach: str) -> Row:
    """Measure both in turns, each first every other time; the ratio is the median of those of the rounds."""
    measured()
    floor()
    pairs = []
    for number in range(ROUNDS):
        if number % 2:
            pairs.append((measured(), floor()))
        else:
            least = floor()
            pairs.append((measured(), least))
    own, least = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    return Row(figure, f"{own:,.0f}/s", f"{floor_name} {least:,.0f}/s", ratio, reach)
