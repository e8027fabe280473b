"""Asking the hot tier's index while rows are added to it."""

from __future__ import annotations

from threading import Event, Thread

from pykyro.index.metadata.mutable_index import MutableMetadataIndex
from pykyro.model.filter import And, Exact, Filter, Not, Range

ROWS = 4_000
QUESTIONS: list[tuple[Filter, int]] = [
    (Exact("third", "0"), 3),
    (And((Range("n", "gte", "0"), Exact("third", "0"), Exact("half", "0"))), 6),
    (Not(Exact("half", "1")), 2),
]


def test_readers_see_the_rows_of_some_moment_while_rows_are_added() -> None:
    index = MutableMetadataIndex()
    added, failures, done = [0], list[str](), Event()

    def ask(condition: Filter, step: int) -> None:
        while not done.is_set():
            before = added[0]
            found = list(index.match(condition))
            after = added[0] + 1
            if (
                found != list(range(0, ROWS, step))[: len(found)]
                or not before <= len(found) * step + step - 1
            ):
                failures.append(f"{condition}: {len(found)} rows, {before} to {after} had been added")
            if len(found) * step > after + step:
                failures.append(f"{condition}: {len(found)} rows, {after} had been added")

    readers = [Thread(target=ask, args=question) for question in QUESTIONS]
    for reader in readers:
        reader.start()
    try:
        for row in range(ROWS):
            index.add(
                row, {"third": str(row % 3), "half": str(row % 2), "n": str(row), f"key{row % 50}": "x"}
            )
            added[0] = row + 1
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert not failures
    for condition, step in QUESTIONS:
        assert list(index.match(condition)) == list(range(0, ROWS, step))
