"""Whether deeper lists could change what is fused by ranks.

A document that stands in a list is worth from it what its rank says, however deep the list is read. One that does
not may stand right behind the end of what was read, or nowhere. So what a document is worth lies between what the
lists give that it is in, and that plus what a rank behind the end of each other list would give; a list that was read
to its end gives nothing more. The first k stand firm when none of them could be overtaken by one that comes later.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pykyro.model.legs import RRF_CONSTANT


@dataclass(frozen=True, slots=True)
class RankedList:
    """What was read of the list of a leg: `has_end` says that nothing stands behind it."""

    doc_ids: Sequence[int]
    weight: float
    has_end: bool

    @property
    def behind(self) -> float:
        """What a document that was not read is worth by this list, at most."""
        return 0.0 if self.has_end else self.weight / (RRF_CONSTANT + 1 + len(self.doc_ids))


Worth: TypeAlias = Mapping[int, float]


def needed_depth(
    order: Sequence[int], worth: Worth, lists: Sequence[RankedList], k: int, *, may_be_unread: bool
) -> float:
    """To what depth all lists would have to be read to know that the first `k` of `order` stand firm: 0 when that is
    known, infinite when no depth that can be told would do. `may_be_unread`: there may be documents in no list."""
    if may_be_unread and len(order) < k:
        return math.inf
    firm = True
    needed = 0.0
    # Of those behind a place that may be worth more than is known: the largest worth, and the most it may become.
    largest, most, weight = -math.inf, -math.inf, 0.0
    if may_be_unread:
        largest, most = 0.0, sum(one.behind for one in lists)
        weight = sum(one.weight for one in lists if not one.has_end)
    members = [frozenset(one.doc_ids) for one in lists]
    for place in range(len(order) - 1, -1, -1):
        doc_id = order[place]
        own = worth[doc_id]
        if place < k and own <= most:
            firm = False
            gap = own - largest
            needed = max(needed, weight / gap - RRF_CONSTANT if gap > 0 else math.inf)
        behind, missing = _behind(doc_id, lists, members)
        if behind > 0.0:
            largest, most, weight = max(largest, own), max(most, own + behind), max(weight, missing)
    return 0.0 if firm else needed


def _behind(
    doc_id: int, lists: Sequence[RankedList], members: Sequence[Collection[int]]
) -> tuple[float, float]:
    """What a document may be worth beyond what is known, and the weight of the lists that it may come from."""
    behind = missing = 0.0
    for one, among in zip(lists, members, strict=True):
        if not one.has_end and doc_id not in among:
            behind += one.behind
            missing += one.weight
    return behind, missing
