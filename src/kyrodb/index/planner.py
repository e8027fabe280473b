"""Choosing between scanning the rows that match and walking the graph. Pure arithmetic, no state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from kyrodb.limits import EF_SEARCH_MAX

REFERENCE_ROWS: Final = 100_000
"""A configured ef is meant for a segment of this size or smaller."""
EF_GROWTH: Final = 0.35
"""ef must grow like rows ** EF_GROWTH to keep its recall: 0.95 needs 41 at 100,000 rows and 72 at 500,000."""
SCAN_PER_EF: Final = 20
"""Matching rows that are scanned exactly in the time that one unit of ef costs in the graph.

Measured on 100,000 rows of 384 components: with ef 41 the two took equally long at 8,500 matching rows,
with ef 128 at 13,500, which is 14 to 18; the rest is the worth of an exact answer. Both costs grow with the
dimension.
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do in one segment: nothing, scan the matching rows, or search the graph with `ef`.

    `ef` is 0 unless the kind is "graph". `reason` is for people.
    """

    kind: Literal["nothing", "scan", "graph"]
    ef: int
    reason: str


def ef_for_size(ef: int, rows: int) -> int:
    """The ef that gives a segment of `rows` the recall that `ef` gives one of REFERENCE_ROWS."""
    growth = math.pow(max(1.0, rows / REFERENCE_ROWS), EF_GROWTH)
    return min(EF_SEARCH_MAX, round(ef * growth))


@lru_cache(maxsize=4096)
def choose(*, rows: int, matched: int, k: int, ef: int, has_graph: bool, exact: bool) -> Plan:
    """How to search a segment of `rows`, of which `matched` are alive and satisfy the filter.

    `ef` is the one configured or asked for; its growth with the segment and with the filter is added here. A
    graph walk must meet rows / matched times as many candidates to find as many that match, so it costs
    SCAN_PER_EF * ef * rows / matched; scanning costs `matched`, and is exact. The cheaper is taken.
    """
    if matched <= 0 or k <= 0:
        return Plan("nothing", 0, "no row matches")
    if exact:
        return Plan("scan", 0, f"exact answer asked for: scan {matched} rows")
    if not has_graph:
        return Plan("scan", 0, f"no graph: scan {matched} rows")
    wanted = max(k, ef_for_size(ef, rows)) * max(1.0, rows / matched)
    if matched <= SCAN_PER_EF * wanted:
        return Plan("scan", 0, f"{matched} of {rows} rows match: scanning costs less than ef {wanted:.0f}")
    widened = max(k, min(EF_SEARCH_MAX, round(wanted)))
    return Plan("graph", widened, f"{matched} of {rows} rows match: graph with ef {widened}")
