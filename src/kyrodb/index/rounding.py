"""How far the similarities that a graph reports can be from the true ones.

A graph keeps rows in bfloat16, whose 8 bits of precision round each component by at most 2^-8 of itself, so a
row moves by at most 2^-8 of its length. What remains is the float32 arithmetic of the library, bounded as usual
(Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1).
"""

from __future__ import annotations

import math
from typing import Final

from kyrodb.types import Metric

_BFLOAT16: Final = 2.0**-8
_SUBNORMAL: Final = 1e-30
"""Rows shorter than this may lose more of their length, but no more than this one would."""


def similarity_at_most(
    approximate: float, metric: Metric, *, dimension: int, query_length: float, longest_row: float
) -> float:
    """Highest true similarity of a row for which the graph's own is at most `approximate`.

    `query_length` and `longest_row` are Euclidean lengths of vectors as stored; cosine needs neither. Infinite
    when the graph's arithmetic overflowed and tells nothing.
    """
    if not math.isfinite(approximate):
        return math.inf
    summing = (dimension + 16) * 2.0**-23
    moved = _BFLOAT16 * max(longest_row, _SUBNORMAL)
    if metric is Metric.COSINE:
        return min(1.0, approximate + _BFLOAT16 + summing)
    if metric is Metric.INNER_PRODUCT:
        return approximate + query_length * (moved + summing * max(longest_row, _SUBNORMAL))
    distance = math.sqrt(max(0.0, -approximate)) * (1 - summing) - moved
    return -(max(0.0, distance) ** 2)
