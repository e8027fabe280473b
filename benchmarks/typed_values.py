"""Values with types: what answers with them take beside the same documents as texts, and what filters by type take
beside equality of texts at the same share. All in one run, in turns.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pyroaring import FrozenBitMap
from tests.server.running import running_server

import pykyro
from benchmarks.report import Row, arguments, show
from pykyro.index.metadata.frozen_index import CACHE_BYTES, FrozenMetadataIndex
from pykyro.index.metadata.result_cache import ResultCache
from pykyro.index.metadata.sections import build_sections
from pykyro.index.metadata.typed_columns import Condition
from pykyro.model.filter import Exact, Filter
from pykyro.model.filter_dict import parse_filter
from pykyro.model.values import text_form

_DIMENSION = 32
_ROUNDS = 25
_NOON = datetime(2024, 6, 30, 12, tzinfo=UTC)
_SHARES = (0.001, 0.01, 0.1, 0.5)


def entries_of(at: int) -> dict[str, Any]:
    """Five entries of a document."""
    return {
        "title": f"document number {at}",
        "year": 1990 + at % 40,
        "price": at % 1000 / 8,
        "active": at % 2 == 0,
        "at": _NOON + timedelta(seconds=at),
    }


def in_turns(first: Callable[[], object], second: Callable[[], object], calls: int) -> tuple[float, float]:
    """Microseconds of a call of each, medians of the rounds."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(2 * _ROUNDS + 2):
        started_s = time.perf_counter()
        for _ in range(calls):
            (second if number % 2 else first)()
        if number > 1:
            taken[number % 2].append((time.perf_counter() - started_s) / calls * 1e6)
    return statistics.median(taken[0]), statistics.median(taken[1])


def answers(directory: Path, count: int) -> list[Row]:
    """Answers of 10 hits with 5 entries, whose values are read, from a server and from an embedded database."""
    rows = []
    vectors = np.random.default_rng(0).standard_normal((count, _DIMENSION)).astype(np.float32)
    typed = [(at + 1, vector, entries_of(at)) for at, vector in enumerate(vectors)]
    texts = [
        (at, vector, {key: str(text_form(value, key)) for key, value in entries.items()})
        for at, vector, entries in typed
    ]
    question = vectors[7] + vectors[8]

    def asking(store: pykyro.Client | pykyro.Database) -> Callable[[], object]:
        return lambda: [hit.metadata for hit in store.search(question, 10, ef_search=50)]

    with (
        pykyro.open(directory / "typed", dimension=_DIMENSION, query_cache_mode="off") as first,
        pykyro.open(directory / "texts", dimension=_DIMENSION, query_cache_mode="off") as second,
    ):
        first.insert_many(typed)
        second.insert_many(texts)
        own, other = in_turns(asking(first), asking(second), 100)
        rows.append(ratio("answer, embedded", (own, other), "≤ 1.1"))
    settings: dict[str, Any] = {
        "hnsw__dimension": _DIMENSION,
        "cache__query_cache_mode": "off",
    }
    for place in ("a", "b"):
        (directory / place).mkdir()
    with (
        running_server(directory / "a", **settings) as one,
        running_server(directory / "b", **settings) as two,
        pykyro.Client(f"localhost:{one.port}") as first_client,
        pykyro.Client(f"localhost:{two.port}") as second_client,
    ):
        first_client.insert_many(typed)
        second_client.insert_many(texts)
        own, other = in_turns(asking(first_client), asking(second_client), 100)
        rows.append(ratio("answer, over gRPC", (own, other), "≤ 1.1"))
    return rows


class _Asked(ResultCache):
    """Remembers everything but what is measured."""

    anew: frozenset[Condition] | set[Condition] = frozenset()

    def get(self, condition: Condition) -> tuple[FrozenBitMap, int] | None:
        return None if condition in self.anew else super().get(condition)


def conditions(share: float, count: int) -> Mapping[str, Filter]:
    """Filters of each kind that match so large a share of the documents of `indexed`."""
    bound = round(share * count)
    return {
        "eq of a number": parse_filter({f"number {share}": 1}),
        "eq of a bool": parse_filter({f"flag {share}": True}),
        "eq of null": parse_filter({f"null {share}": None}),
        "element of a list": parse_filter({f"list {share}": "y"}),
        "path": parse_filter({f"object {share}.a": "y"}),
        "number below": parse_filter({"row": {"$lt": bound}}),
        "number between": parse_filter({"row": {"$between": [0, bound - 1]}}),
        "time below": parse_filter({"at": {"$lt": _NOON + timedelta(seconds=bound)}}),
        "text prefix": parse_filter({f"word {share}": {"$prefix": "ye"}}),
        "text contains": parse_filter({f"word {share}": {"$contains": "es"}}),
    }


def indexed(count: int) -> FrozenMetadataIndex:
    """A segment's index of documents with a key of each kind for each share."""
    rng = np.random.default_rng(1)
    orders = {share: rng.permutation(count) < round(share * count) for share in _SHARES}

    def entries(row: int) -> dict[str, Any]:
        found: dict[str, Any] = {"row": row, "at": _NOON + timedelta(seconds=row)}
        for share, chosen in orders.items():
            mark = bool(chosen[row])
            found[f"text {share}"] = "y" if mark else "n"
            found[f"word {share}"] = f"yes {row % 20}" if mark else f"no {row % 20}"
            found[f"number {share}"] = int(mark)
            found[f"flag {share}"] = mark
            found[f"null {share}"] = None if mark else 0
            found[f"list {share}"] = ["x", "y" if mark else "n"]
            found[f"object {share}"] = {"a": "y" if mark else "n"}
        return found

    rows = ({key: text_form(value, key) for key, value in entries(row).items()} for row in range(count))
    return FrozenMetadataIndex(build_sections(rows, count), count)


def filter_costs(count: int) -> list[Row]:
    """Each kind of filter beside equality of texts at the same share; what a filter matches is not remembered, only
    what many filters on a key share."""
    index, rows = indexed(count), []
    index._results = asked = _Asked(CACHE_BYTES)
    for share in _SHARES:
        plain = Exact(f"text {share}", "y")
        for name, condition in conditions(share, count).items():
            asked.anew = {condition, plain}
            assert len(index.match(condition)) == len(index.match(plain)) == round(share * count), name
            own, other = in_turns(
                partial(index.match, condition),
                partial(index.match, plain),
                10,
            )
            rows.append(ratio(f"{name}, {share:.1%} of {count:,}", (own, other), "≤ 1.5"))
    return rows


def ratio(name: str, taken_us: tuple[float, float], reach: str) -> Row:
    own, other = taken_us
    return Row(name, f"{own:,.0f} us", f"texts {other:,.0f} us", own / other, reach)


def main() -> None:
    options = arguments(__doc__ or "", count=5000)
    with tempfile.TemporaryDirectory() as name:
        show(answers(Path(name), options.count))
    show(filter_costs(20 * options.count))


if __name__ == "__main__":
    main()
