"""Streams of lookups and of questions, the same in every run.

`headline` is the stream behind the reference's 73.5 %: documents by Zipf 1.4 out of 10,000, three in ten lookups
uniform. No cache of 189 documents can answer more than 65 % of it with the right document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.dataset import Floats

Lookups = npt.NDArray[np.int64]
_DOCUMENTS: Final = 10_000


def _zipf(source: np.random.Generator, count: int, exponent: float) -> Lookups:
    weights = np.arange(1, _DOCUMENTS + 1.0) ** -exponent
    return source.choice(np.arange(1, _DOCUMENTS + 1), count, p=weights / weights.sum())


def headline(count: int, cold: float = 0.3) -> Lookups:
    source = np.random.default_rng(0x5EEDFACE)
    uniform = source.integers(1, _DOCUMENTS + 1, count)
    return np.where(source.random(count) < cold, uniform, _zipf(source, count, 1.4))


def drifting(count: int) -> Lookups:
    """The hot documents change a little all the time: every lookup in 200 renames one of the hottest 400."""
    source = np.random.default_rng(2)
    ranks, names = _zipf(source, count, 1.1), np.arange(_DOCUMENTS + 1)
    lookups = np.empty(count, np.int64)
    for at, rank in enumerate(ranks.tolist()):
        if at % 200 == 0:
            one, other = source.integers(1, 401), source.integers(1, _DOCUMENTS + 1)
            names[[one, other]] = names[[other, one]]
        lookups[at] = names[rank]
    return lookups


def bursty(count: int) -> Lookups:
    """Zipf, and now and then a scan of a thousand documents once each."""
    source = np.random.default_rng(3)
    lookups = _zipf(source, count, 1.1)
    for start in range(5000, count - 1000, 10_000):
        lookups[start : start + 1000] = source.choice(_DOCUMENTS, 1000, replace=False) + 1
    return lookups


def loop(count: int) -> Lookups:
    """300 documents in turn, which is what LRU is worst at, and a tenth Zipf."""
    source = np.random.default_rng(4)
    return np.where(source.random(count) < 0.1, _zipf(source, count, 1.1), np.arange(count) % 300 + 1)


LOOKUPS: Final[dict[str, Callable[[int], Lookups]]] = {
    "headline, Zipf 1.4 with 30 % cold": headline,
    "drifting, Zipf 1.1": drifting,
    "bursts of scans, Zipf 1.1": bursty,
    "a loop beyond the capacity": loop,
}


def natural(queries: Floats, count: int) -> Iterator[npt.NDArray[np.float32]]:
    """The questions in the order they were asked."""
    yield from queries[:count]


def repeating(queries: Floats, count: int, jitter: float) -> Iterator[npt.NDArray[np.float32]]:
    """Zipf 1.0 over the questions, each a little different every time: `jitter` is the length of the difference."""
    source = np.random.default_rng(5)
    weights = 1.0 / np.arange(1, len(queries) + 1)
    for at in source.choice(len(queries), count, p=weights / weights.sum()):
        noise = source.standard_normal(queries.shape[1])
        vector = queries[at] + noise * (jitter / np.linalg.norm(noise)) if jitter else queries[at]
        yield np.ascontiguousarray(vector, dtype=np.float32)
