"""How many of the best documents of each leg a fusion looks at."""

from __future__ import annotations

from typing import Final, NamedTuple

from pykyro.model.legs import RRF, Legs
from pykyro.model.limits import FUSE_DEPTH_MAX
from pykyro.model.requests import SearchRequest

_DEPTH_MIN: Final = 100
_WIDER: Final = 4
_EXACT_DEPTH: Final = 1600
"""By ranks, of an exact search."""


class Depths(NamedTuple):
    """How many of the best documents of each leg are looked at."""

    vector: int
    text: int


def first_depths(request: SearchRequest, legs: Legs) -> Depths:
    own = _own(request.k)
    # All documents that match are in the leg by vector, so as many as are wanted come of it.
    if legs.depths:
        vector, text = legs.depths
        return Depths(max(vector or own, request.k), text or own)
    depth = max(legs.depth or own, request.k)
    return Depths(depth, depth)


def _own(k: int) -> int:
    return min(max(_DEPTH_MIN, 2 * k), FUSE_DEPTH_MAX)


def ends_as_asked(legs: Legs) -> bool:
    """Whether the lists of the legs end where the caller says."""
    return legs.fuse == RRF and bool(legs.depth or any(legs.depths))


def wider_depths(request: SearchRequest, legs: Legs, depths: Depths, needed: float) -> Depths:
    """The depths to look at next; the same when it ends with these.

    Ranks cannot be told of a document that no list has, so often only a very deep one proves anything. What a
    walk through a graph to such a depth takes is worth it where every row is looked at anyhow, and where a moderate
    depth is likely to do.
    """
    if ends_as_asked(legs):
        return depths
    wider = _WIDER * max(depths)
    if legs.fuse == RRF:
        wider = _EXACT_DEPTH if request.exact else _WIDER * _DEPTH_MIN
        if not request.exact and needed > wider:
            return depths
    wider = min(wider, FUSE_DEPTH_MAX)
    return Depths(max(wider, depths.vector), max(wider, depths.text))
