"""What a hit of the query cache saves over gRPC, and what the cache costs a stream of questions that never repeat.

python -m benchmarks.cache.over_grpc [--data DIR] [--count N] [--transport h2corn]

Latencies are those of one caller; the call of a handler that answers at once is taken off both sides.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
from tests.server.running import RunningServer

from benchmarks import serving
from benchmarks.grpc_search import EF, K
from benchmarks.report import Row, show
from pykyro.model.limits import STREAM_MESSAGES_MAX
from pykyro.model.types import Matrix
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.version import SERVICE

_QUESTIONS = 400
_ROUNDS = 5
_IN_TURN = 40
"""Calls of one kind in a row: as with traffic that mostly hits, or mostly misses."""
_NEARLY = np.float32(1.001)


def floor_handlers(response: bytes) -> dict[str, Any]:
    async def search(payload: bytes, context: object) -> bytes:
        return response

    return {"Search": grpc.unary_unary_rpc_method_handler(search)}


def message(question: Matrix, *, ef: int = 0) -> bytes:
    """An ef of its own makes a search go past the cache."""
    return pb.SearchRequest(query_embedding=question.tolist(), k=K, ef_search=ef).SerializeToString()


def timed(call: Any, payload: bytes, taken: list[float]) -> pb.SearchResponse:
    started = time.perf_counter()
    answer = call(payload)
    taken.append(time.perf_counter() - started)
    return pb.SearchResponse.FromString(answer)


def hits(running: RunningServer, floor_port: int, docs: Matrix, transport: str) -> Row:
    """Searches that go past the cache, answers it proves, and calls answered at once, in turns."""
    with (
        grpc.insecure_channel(f"127.0.0.1:{running.port}") as ours,
        grpc.insecure_channel(f"127.0.0.1:{floor_port}") as least,
    ):
        search, nothing = (one.unary_unary(f"/{SERVICE}/Search", bytes, bytes) for one in (ours, least))
        plain: list[float] = []
        proved: list[float] = []
        floor: list[float] = []
        asked = serving.questions(docs, _QUESTIONS, seed=5)
        for question in asked:
            timed(search, message(question), [])
        for at in [*range(0, _QUESTIONS, _IN_TURN)] * _ROUNDS:
            turn = asked[at : at + _IN_TURN]
            for question in turn:
                timed(search, message(question, ef=EF), plain)
            for question in turn:
                answer = timed(search, message(question * _NEARLY), near := list[float]())
                if answer.cache_kind == pb.SearchResponse.CERTIFIED:
                    proved += near
            for question in turn:
                timed(nothing, message(question), floor)
    us = [1e6 * statistics.median(taken) for taken in (proved, plain, floor)]
    share = len(proved) / (_QUESTIONS * _ROUNDS)
    return Row(
        f"an answer the cache proves ({share:.0%} of near questions), {transport}, over {us[2]:.0f} µs for a call",
        f"{us[0] - us[2]:.0f} µs",
        f"search {us[1] - us[2]:.0f} µs",
        (us[0] - us[2]) / (us[1] - us[2]),
        "≤ 0.35",
    )


def misses(running: RunningServer, docs: Matrix, transport: str) -> list[Row]:
    """Streams of questions never asked before, past the cache and through it by turns; the first two do not count."""
    process = psutil.Process(running.process.pid)
    per_s: list[float] = []
    spent_us: list[float] = []
    for number in range(2 * _ROUNDS + 2):
        asked = serving.questions(docs, STREAM_MESSAGES_MAX, seed=100 + number)
        payloads = [message(question, ef=0 if number % 2 else EF) for question in asked]
        before_s = sum(process.cpu_times()[:2])
        stream = serving.h2load(running.port, "BulkSearch", payloads, requests=1, callers=1)
        spent_us.append(1e6 * (sum(process.cpu_times()[:2]) - before_s) / len(payloads))
        per_s.append(len(payloads) * stream.requests_per_s)
    past, through, past_us, through_us = per_s[2::2], per_s[3::2], spent_us[2::2], spent_us[3::2]
    return [
        Row(
            f"questions that never repeat, {transport}",
            f"{statistics.median(through):,.0f}/s",
            f"past the cache {statistics.median(past):,.0f}/s",
            statistics.median(a / b for a, b in zip(through, past, strict=True)),
            "≥ 0.95",
        ),
        Row(
            f"the same by the server's processor time, {transport}",
            f"{statistics.median(through_us):,.0f} µs each",
            f"past the cache {statistics.median(past_us):,.0f} µs",
            statistics.median(b / a for a, b in zip(through_us, past_us, strict=True)),
            "≥ 0.95",
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--transport", nargs="+", default=["h2corn", "grpcio"])
    options = parser.parse_args()
    docs = serving.vectors(options.data, options.count, 384)
    rows = []
    for transport in options.transport:
        settings = serving.room_for(docs, transport) | {"cache__query_cache_capacity": 1000}
        with serving.server(**settings) as running:
            serving.load(running, docs)
            answer = running.stub.Search(pb.SearchRequest(query_embedding=docs[0].tolist(), k=K))
            with serving.floor(transport, floor_handlers, answer.SerializeToString()) as floor_port:
                rows += [hits(running, floor_port, docs, transport), *misses(running, docs, transport)]
    show(rows)


if __name__ == "__main__":
    main()
