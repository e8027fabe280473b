"""The most frequent values among those that tiers counted."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TypeAlias

import numpy as np

from pykyro.engine.tiers.tier import Tokens
from pykyro.index.metadata.value_runs import Positions
from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import FACETS_BYTES_MAX

Counted: TypeAlias = tuple[Tokens, Positions]
"""Values in order, and how often each is there."""


def most_frequent(parts: Sequence[Counted], limit: int) -> list[tuple[str, int]]:
    """The tokens of the `limit` most frequent values with their counts, the most frequent first, equal ones in the
    order of tokens. In memory are no more texts than that. Raises InvalidArgument when they are too long."""
    best: list[tuple[int, int, str]] = []
    size = 0
    together = heapq.merge(*_hopeful(parts, limit))
    for number, (token, equal) in enumerate(groupby(together, key=itemgetter(0))):
        count = sum(count for _, count in equal)
        if len(best) < limit:
            heapq.heappush(best, (count, -number, token))
        elif count > best[0][0]:
            size -= len(heapq.heapreplace(best, (count, -number, token))[2])
        else:
            continue
        size += len(token)
        if size > FACETS_BYTES_MAX:
            raise InvalidArgument(
                f"the {len(best)} most frequent values have more than {FACETS_BYTES_MAX} bytes together, the "
                "maximum: ask for fewer",
                field="limit",
            )
    return [(token, count) for count, _, token in sorted(best, reverse=True)]


def _hopeful(parts: Sequence[Counted], limit: int) -> list[Iterator[tuple[str, int]]]:
    """Of each part the values that may be among the most frequent, with their counts.

    The `limit` most frequent of one part are there at least so often in all. A value that the largest counts of the
    other parts could not lift so high is none of the wanted ones, and is not read.
    """
    highest = [int(counts.max()) if len(counts) else 0 for _, counts in parts]
    needed = max(
        (int(np.partition(counts, -limit)[-limit]) for _, counts in parts if len(counts) >= limit), default=0
    )
    return [
        _tokens(run, counts, max(1, needed - (sum(highest) - own)))
        for (run, counts), own in zip(parts, highest, strict=True)
    ]


def _tokens(run: Tokens, counts: Positions, least: int) -> Iterator[tuple[str, int]]:
    places = np.flatnonzero(counts >= least)
    for place, count in zip(places.tolist(), counts[places].tolist(), strict=True):
        yield run.token(place), count
