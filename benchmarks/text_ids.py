"""Ids of text beside integers: insert, bulk insert, lookup and search, in one run and in turns.

Figures are processor time of the whole process, so another program on the machine changes little. Documents have two
entries of metadata, and text ids are those of UUIDs. What is found lies in a segment, what is stored in the hot tier.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import pykyro
from benchmarks.report import Row, arguments, show

_DIMENSION = 384
_ROUNDS = 31
_REACH = {"insert": "≤ 1.15", "bulk insert": "≤ 1.15", "lookup": "≤ 1.5", "search": "≤ 1.05"}


class Side:
    """A database, and calls of it that take the ids one after the other."""

    def __init__(
        self, directory: Path, id_type: pykyro.IdType, ids: Sequence[Any], vectors: np.ndarray[Any, Any]
    ) -> None:
        self.database = pykyro.open(
            directory,
            dimension=_DIMENSION,
            id_type=id_type,
            background=False,
            query_cache_mode="off",
            hot_rows_max=10_000_000,
        )
        self._ids, self._vectors = ids, vectors
        self._stored = 0

    def take(self, count: int) -> list[tuple[Any, Any, dict[str, Any]]]:
        """The next documents to be stored."""
        chosen = range(self._stored, self._stored + count)
        self._stored += count
        return [
            (
                self._ids[at],
                self._vectors[at % len(self._vectors)],
                {"title": f"document {at}", "year": str(at % 40)},
            )
            for at in chosen
        ]

    def call(self, figure: str, calls: int, sealed: int) -> Callable[[], object]:
        """So many calls of one kind; the first `sealed` documents are there."""
        database = self.database
        if figure == "insert":
            documents = self.take(calls)
            return lambda: [database.insert(*document) for document in documents]  # type: ignore[func-returns-value]
        if figure == "bulk insert":
            documents = self.take(calls)
            return lambda: database.insert_many(documents)
        if figure == "lookup":
            chosen = [self._ids[at * 7919 % sealed] for at in range(calls)]
            return lambda: [database.get(own) for own in chosen]
        questions = [self._vectors[at] + self._vectors[at + 1] for at in range(calls)]
        return lambda: [[hit.id for hit in database.search(one, 10)] for one in questions]


def compare(calls: int, first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
    """Microseconds of a call of each."""
    taken = []
    for call in (first, second):
        started_s = time.process_time()
        call()
        taken.append((time.process_time() - started_s) / calls * 1e6)
    return taken[0], taken[1]


def measured(directory: Path, count: int) -> list[Row]:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((min(count, 20_000), _DIMENSION)).astype(np.float32)
    total = count + (_ROUNDS + 1) * 1300
    texts = [str(uuid.UUID(bytes=rng.bytes(16))) for _ in range(total)]
    text = Side(directory / "text", "text", texts, vectors)
    number = Side(directory / "integer", "integer", range(1, total + 1), vectors)
    for side in (text, number):
        side.database.insert_many(side.take(count))
        side.database.flush()
    taken: dict[str, list[tuple[float, float]]] = {}
    # First what is found, so that only the segment is searched.
    for figures in ({"lookup": 500, "search": 100}, {"insert": 300, "bulk insert": 1000}):
        for at in range(_ROUNDS + 1):
            # The one that goes first changes from round to round.
            sides = (text, number) if at % 2 else (number, text)
            for figure, calls in figures.items():
                found = compare(calls, *(side.call(figure, calls, count) for side in sides))
                if at:
                    taken.setdefault(figure, []).append(found if sides[0] is text else found[::-1])
    rows = []
    for figure, pairs in taken.items():
        own, other = (statistics.median(pair[at] for pair in pairs) for at in (0, 1))
        ratio = statistics.median(pair[0] / pair[1] for pair in pairs)
        rows.append(Row(figure, f"{own:.1f} us", f"integers {other:.1f} us", ratio, _REACH[figure]))
    for side in (text, number):
        side.database.close()
    return rows


def main() -> None:
    options = arguments(__doc__ or "", count=20_000)
    with tempfile.TemporaryDirectory() as name:
        show(measured(Path(name), options.count))


if __name__ == "__main__":
    main()
