"""Choosing between scanning the rows that match and walking the graph. Pure arithmetic, no state.

A walk with ef keeps the ef rows nearest to the query, whether they match or not; so what it finds is near the
truth only if enough of those match. When the filter has nothing to do with the query, their share is that of all
rows. When it has, it can be anything: of the rows nearest to a query about one source, next to none are of
another. Recall@10 on 100,000 sentence embeddings, by how many rows that match were among the ef nearest:

    rows        5     7     10    14    20    28    40    56    80    160
    recall@10   0.44  0.64  0.90  0.97  0.97  0.987 0.989 0.990 0.995 0.999

Therefore a walk counts only when it met FILTERED_EF times as many rows that match as a search without a filter keeps,
which is ef; else the share it saw tells how much wider to walk, or that scanning costs less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from pykyro.model.limits import EF_SEARCH_MAX

REFERENCE_ROWS: Final = 100_000
"""A configured ef is meant for a segment of this size or smaller."""
EF_GROWTH: Final = 0.35
"""ef must grow like rows ** EF_GROWTH to keep its recall: 0.95 needs 41 at 100,000 rows and 72 at 500,000."""
FILTERED_EF: Final = 1.4
"""With a filter so many times the ef are wanted of the rows that match: recall@10 is then 0.99 at the default ef,
where without a filter it is 0.97. Who filters means the rows that match, and cannot see what is missing."""
SCAN_PER_EF: Final = 20
"""Matching rows that are scanned exactly in the time that one unit of ef costs in the graph.

Measured on 100,000 rows of 384 components: with ef 41 the two took equally long at 8,500 matching rows,
with ef 128 at 13,500, which is 14 to 18; the rest is the worth of an exact answer. Both costs grow with the
dimension.
"""


WIDENING: Final = 4
"""How many times as wide a walk is repeated."""
_MEASURED_K: Final = 10
"""Best rows that a segment's own least ef was measured for."""


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
def choose(
    *,
    rows: int,
    matched: int,
    k: int,
    ef: int,
    filtered: bool,
    has_graph: bool,
    exact: bool,
    least_ef: int | None = None,
) -> Plan:
    """How to search a segment of `rows`, of which `matched` are alive and satisfy the filter.

    `ef` is the one configured or asked for; its growth with the segment and with the filter is added here. The
    segment wants at least `least_ef`, 0 meaning that no walk finds enough there. The cheaper of walking the graph
    and scanning is taken; scanning costs `matched`, and is exact.
    """
    if matched <= 0 or k <= 0:
        return Plan("nothing", 0, "no row matches")
    if exact:
        return Plan("scan", 0, f"exact answer asked for: scan {matched} rows")
    if not has_graph:
        return Plan("scan", 0, f"no graph: scan {matched} rows")
    if least_ef == 0:
        return Plan("scan", 0, f"no walk finds enough here: scan {matched} rows")
    wanted = wanted_rows(rows=rows, k=k, ef=ef, filtered=filtered, least_ef=least_ef)
    wide = _ef_to_meet(wanted, min(1.0, matched / rows))
    if matched <= SCAN_PER_EF * wide:
        return Plan("scan", 0, f"{matched} of {rows} rows match: scanning costs less than ef {wide:.0f}")
    widened = max(k, min(EF_SEARCH_MAX, round(wide)))
    return Plan("graph", widened, f"{matched} of {rows} rows match: graph with ef {widened}")


def choose_again(*, wanted: int, met: int, ef: int, matched: int) -> Plan:
    """How to go on when a walk with `ef` met only `met` of the `wanted` rows that match, of which there are
    `matched` in all."""
    wide = _ef_to_meet(wanted, max(met, 0.5) / ef)
    if wide > EF_SEARCH_MAX or matched <= SCAN_PER_EF * wide:
        return Plan("scan", 0, f"only {met} match near the query: scan {matched} rows")
    return Plan("graph", round(wide), f"only {met} match near the query: graph with ef {wide:.0f}")


def choose_wider(*, ef: int, matched: int) -> Plan:
    """How to go on when the rows that a walk with `ef` met leave open whether others belong to the answer."""
    wide = WIDENING * ef
    if wide > EF_SEARCH_MAX or matched <= SCAN_PER_EF * wide:
        return Plan("scan", 0, f"too close to tell with ef {ef}: scan {matched} rows")
    return Plan("graph", wide, f"too close to tell with ef {ef}: graph with ef {wide}")


def wanted_rows(*, rows: int, k: int, ef: int, filtered: bool, least_ef: int | None = None) -> int:
    """Rows that match which a walk has to meet, so that the best `k` are among them."""
    sized = max(k, ef_for_size(ef, rows))
    if least_ef is not None and least_ef > ef:
        # It was measured for the best few: more need as many more.
        sized = max(sized, least_ef + max(0, k - _MEASURED_K))
    return min(EF_SEARCH_MAX, round(FILTERED_EF * sized)) if filtered else sized


def _ef_to_meet(wanted: int, share: float) -> float:
    """The ef whose walk meets `wanted` rows that match, of those near the query being this `share`.

    How many it meets varies from query to query like a draw of lots, so two standard deviations more.
    """
    return (wanted + 2 * math.sqrt(wanted * (1 - share))) / share
