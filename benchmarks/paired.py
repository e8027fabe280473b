"""Searches of two servers, or of one in two conditions, in turns: the ratio that a difference costs.

Beside searches a second there are searches for each second of the server's processor time, which is what a difference
costs whatever else the machine is doing.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
import psutil
from tests.server.running import RunningServer

from benchmarks import serving
from benchmarks.report import Row
from pykyro.model.types import Matrix
from pykyro.proto import kyrodb_pb2 as pb

ROUNDS = 7
CALLERS = 16
EF = 50

Measure = Callable[[], tuple[float, float]]
"""Searches a second, and searches for each second of processor time."""


def searching(running: RunningServer, docs: Matrix, *, requests: int, key: str = "") -> Measure:
    """Searches for the same question; it names an ef, so that no cache answers."""
    question = np.asarray(docs[3] + docs[8]).tolist()
    message = pb.SearchRequest(query_embedding=question, k=10, ef_search=EF).SerializeToString()

    process = psutil.Process(running.process.pid)

    def measure() -> tuple[float, float]:
        before = process.cpu_times()
        load = serving.h2load(running.port, "Search", [message], requests=requests, callers=CALLERS, key=key)
        after = process.cpu_times()
        used_s = after.user - before.user + after.system - before.system
        return load.requests_per_s, requests / used_s

    return measure


def compare(figure: str, measured: Measure, floor: Measure, floor_name: str, reach: str) -> list[Row]:
    """Measure both in turns, each first every other time; the ratios are the medians of those of the rounds."""
    measured()
    floor()
    pairs = []
    for number in range(ROUNDS):
        if number % 2:
            pairs.append((measured(), floor()))
        else:
            least = floor()
            pairs.append((measured(), least))
    rows = []
    for at, (name, unit) in enumerate(((figure, "/s"), (f"{figure}: processor", "/processor s"))):
        own, other = (statistics.median(pair[side][at] for pair in pairs) for side in (0, 1))
        ratio = statistics.median(pair[0][at] / pair[1][at] for pair in pairs)
        rows.append(Row(name, f"{own:,.0f}{unit}", f"{floor_name} {other:,.0f}{unit}", ratio, reach))
    return rows
