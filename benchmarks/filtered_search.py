"""Filtered search: recall and latency at every selectivity, against exact answers and the unfiltered search.

With `--data`, docs_meta.jsonl.gz beside the vectors gives filters that real data has: by source, and by kind.
"""

from __future__ import annotations

import gzip
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import dataset, store
from benchmarks.report import Row, arguments, median_us, show
from pykyro.engine.engine import Engine
from pykyro.model.filter import And, Exact, Filter, In, Range
from pykyro.model.requests import Delete, SearchRequest
from pykyro.model.types import NAMESPACE_KEY, Scope

_QUERIES = 200
_MARKS = {"m50": 0.5, "m10": 0.1, "m1": 0.01, "m01": 0.001, "m001": 0.0001}
_OWN_KEYS = ("source", "kind")
_WANTED = {"m10": "≤ 5", "m1": "≤ 1.0", "m01": "≤ 0.5"}


@dataclass(frozen=True, slots=True)
class Marked:
    """Metadata by row: random marks, a namespace among 50 of very unequal size, a length, a side of a hyperplane, and
    what the data itself says of it."""

    marks: dict[str, npt.NDArray[np.bool_]]
    namespaces: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    far: npt.NDArray[np.bool_]
    own: list[dict[str, str]]

    def of(self, at: int) -> dict[str, str]:
        entries = self.own[at] if self.own else {}
        entries |= {name: "y" for name, chosen in self.marks.items() if chosen[at]}
        entries["length"] = str(self.lengths[at])
        entries["far"] = "y" if self.far[at] else "n"
        entries[NAMESPACE_KEY] = str(self.namespaces[at])
        return entries


def own_metadata(directory: Path | None, count: int) -> list[dict[str, str]]:
    """Source and kind of each document, if the data tells."""
    path = None if directory is None else directory / "docs_meta.jsonl.gz"
    if path is None or not path.exists():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        told = [json.loads(line) for _, line in zip(range(count), lines, strict=False)]
    return [{key: str(entry[key]) for key in _OWN_KEYS} for entry in told]


def marked(data: dataset.Dataset, own: list[dict[str, str]]) -> Marked:
    rng = np.random.default_rng(3)
    count = len(data.rows)
    sizes = 1 / np.arange(1, 51) ** 1.5
    # The rows least like the mean question: what a post-filter over the nearest rows never reaches.
    likeness = data.rows @ data.queries[:_QUERIES].mean(axis=0)
    return Marked(
        {name: rng.random(count) < share for name, share in _MARKS.items()},
        rng.choice(50, size=count, p=sizes / sizes.sum()),
        rng.integers(0, 1000, size=count),
        likeness <= np.quantile(likeness, 0.01),
        own,
    )


def truth(data: dataset.Dataset, alive: npt.NDArray[np.bool_]) -> list[list[int]]:
    """Exact top 10 of each query among the rows that count."""
    rows = np.flatnonzero(alive)
    similarities = data.queries[:_QUERIES] @ data.rows[rows].T
    return [(rows[np.argsort(-line)[:10]] + 1).tolist() for line in similarities]


def ask(
    engine: Engine, data: dataset.Dataset, condition: Filter | None, scope: Scope | None = None
) -> tuple[list[list[int]], float]:
    """Ids each query found, and the median latency in microseconds."""
    found, seconds = [], []
    for warm in (False, True):
        for query in data.queries[:_QUERIES]:
            request = SearchRequest(query, 10, filter=condition, scope=scope or Scope())
            started = time.perf_counter()
            answer = engine.search(request)
            if warm:
                seconds.append(time.perf_counter() - started)
                found.append([hit.doc_id for hit in answer.hits])
    return found, median_us(seconds)


def recall(found: Sequence[Sequence[int]], expected: Sequence[Sequence[int]]) -> float:
    for ours, exact in zip(found, expected, strict=True):
        if len(ours) != len(exact):
            raise SystemExit(f"{len(ours)} rows came back where {len(exact)} match")
    hits = sum(len(set(a) & set(b)) for a, b in zip(found, expected, strict=True))
    return hits / max(1, sum(len(rows) for rows in expected))


def measure(data: dataset.Dataset, engine: Engine, facts: Marked) -> list[Row]:
    alive = np.ones(len(data.rows), dtype=np.bool_)
    found, base_us = ask(engine, data, None)
    rows = [_row("no filter", found, truth(data, alive), base_us, base_us, "")]
    for name, chosen in facts.marks.items():
        found, us = ask(engine, data, Exact(name, "y"))
        label = f"random mark, {_MARKS[name]:.2%}"
        rows.append(_row(label, found, truth(data, chosen), us, base_us, _WANTED.get(name, "")))
    found, us = ask(engine, data, Exact("far", "y"))
    rows.append(_row("rows least like the questions, 1 %", found, truth(data, facts.far), us, base_us, ""))
    for key in _OWN_KEYS if facts.own else ():
        values = [entry[key] for entry in facts.own]
        for value, size in Counter(values).most_common():
            found, us = ask(engine, data, Exact(key, value))
            expected = truth(data, np.array([one == value for one in values]))
            rows.append(_row(f"{key} of {size:,} documents", found, expected, us, base_us, ""))
    three = And((Range("length", "lt", "500"), In("m50", ("y",)), Exact("far", "n")))
    chosen = (facts.lengths < 500) & facts.marks["m50"] & ~facts.far
    found, us = ask(engine, data, three)
    rows.append(_row("three keys, about 25 %", found, truth(data, chosen), us, base_us, ""))
    for namespace in (0, 20, 49):
        found, us = ask(engine, data, None, Scope(namespace=str(namespace)))
        size = int((facts.namespaces == namespace).sum())
        expected = truth(data, facts.namespaces == namespace)
        rows.append(_row(f"namespace of {size:,} documents", found, expected, us, base_us, ""))
    engine.commit([Delete(at + 1) for at in range(0, len(data.rows), 2)])
    alive[::2] = False
    for label, condition, chosen in (
        ("half deleted, no filter", None, alive),
        ("half deleted, random mark 1 %", Exact("m1", "y"), alive & facts.marks["m1"]),
    ):
        found, us = ask(engine, data, condition)
        rows.append(_row(label, found, truth(data, chosen), us, base_us, ""))
    return rows


def _row(
    label: str,
    found: Sequence[Sequence[int]],
    expected: Sequence[Sequence[int]],
    us: float,
    base_us: float,
    reach: str,
) -> Row:
    figure = f"{label}: recall@10 {recall(found, expected):.3f}"
    return Row(figure, f"{us:.0f} µs", f"unfiltered {base_us:.0f} µs", us / base_us, reach)


def main() -> None:
    options = arguments(__doc__, questions=_QUERIES)
    data = dataset.load(options.data, options.count)
    data = replace(data, queries=data.queries[: options.questions])
    facts = marked(data, own_metadata(options.data, len(data.rows)))
    with tempfile.TemporaryDirectory() as directory:
        engine = store.one_segment(Path(directory) / "data", data, facts.of)
        show(measure(data, engine, facts))
        engine.close()


if __name__ == "__main__":
    main()
