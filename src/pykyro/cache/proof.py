"""What a cached search proves about another query.

A search for p kept every document it met whose similarity to p is above `unseen_bound`, so each document outside is
at least r from p, where r is the distance that belongs to `unseen_bound`. By the triangle inequality it is at least
r - d(p, q) from q. When the k-th best of the documents kept is nearer to q than that, no document outside can
be among the k best. (Used for k-NN caching by Falchi et al., "A metric cache for similarity search", 2008.)

The distance is the angle for cosine, which is the tightest bound these numbers allow, and the Euclidean length
otherwise. An inner product is no distance, so there only the same query again can be answered.

All comparisons leave room for rounding: similarities are float64 sums of at most 4096 products, whose relative
error is below 5e-13.
"""

from __future__ import annotations

import math
from typing import Final

from pykyro.model.types import Metric

_ANGLE_ROOM: Final = 2e-6
"""Radians by which acos may be wrong: near 1 an error of 5e-13 in the cosine is one of 1e-6 in the angle."""
_COSINE_ROOM: Final = 1e-9
_LENGTH_ROOM: Final = 1e-9
_HOPE: Final = 2.0
"""A query farther from p than this many times the gap between p's k-th best and `unseen_bound` is hardly ever
proved (in traffic of real queries, never more than 1.2), so its proof is not tried."""


def outside_at_most(metric: Metric, unseen_bound: float, between: float) -> float:
    """Highest similarity to q that a document can have whose similarity to p is at most `unseen_bound`.

    `between` is the similarity of p and q. Infinite for inner product, minus infinity when there is nothing
    outside (`unseen_bound` minus infinity).
    """
    if unseen_bound == -math.inf:
        return -math.inf
    if metric is Metric.COSINE:
        angle = _angle(unseen_bound) - _angle(between) - _ANGLE_ROOM
        return math.cos(max(0.0, angle)) + _COSINE_ROOM
    if metric is Metric.EUCLIDEAN:
        radius = math.sqrt(-unseen_bound) * (1 - _LENGTH_ROOM) - math.sqrt(-between) * (1 + _LENGTH_ROOM)
        return -(max(0.0, radius) ** 2)
    return math.inf


def farthest_square(metric: Metric, unseen_bound: float, kth: float) -> float:
    """Squared distance (of vectors in index form) between p and q from which on a proof is not worth trying.

    `kth` is the similarity of p's k-th best.
    """
    if unseen_bound == -math.inf:
        return math.inf
    if kth == -math.inf or metric is Metric.INNER_PRODUCT:
        return 0.0
    if (
        metric is Metric.COSINE
    ):  # by chords: of half a circle or less they are nearly as far apart as the angles
        unseen_bound, kth = 2 * unseen_bound - 2, min(0.0, 2 * kth - 2)
    return (_HOPE * (math.sqrt(-unseen_bound) - math.sqrt(-kth))) ** 2


def _angle(cosine: float) -> float:
    return math.acos(max(-1.0, min(1.0, cosine)))
