"""Whether deeper lists could change what is fused by ranks.

A document that stands in a list is worth from it what its rank says, however deep the list is read. One that does
not may stand right behind the end of what was read, or nowhere. So what a document is worth lies between what the
lists give that it is in, and that plus what a rank behind the end of each other list would give; a list that was read
to its end gives nothing more. The first k stand firm when none of them could be overtaken by one that comes later.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pykyro.model.legs import RRF_CONSTANT


@dataclass(frozen=True, slots=True, eq=False)
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
Unended: TypeAlias = Sequence[tuple[RankedList, frozenset[int]]]
"""Lists that may give more, and the documents they are known to have."""
Placed: TypeAlias = tuple[int, tuple[RankedList, ...]]
"""A place in the order, and the lists that its document may yet be found in."""


def needed_depth(
    order: Sequence[int], worth: Worth, lists: Sequence[RankedList], k: int, *, may_be_unread: bool
) -> float:
    """To what depth all lists would have to be read to know that the first `k` of `order` stand firm: 0 when that is
    known, infinite when no depth that can be told would do. `may_be_unread`: there may be documents in no list."""
    if may_be_unread and len(order) < k:
        return math.inf
    needed = 0.0
    unended = [(one, frozenset(one.doc_ids)) for one in lists if one.behind > 0.0]
    # Of those behind a place that may be worth more than is known: the largest worth, and the most it may become.
    largest, most, weight = -math.inf, -math.inf, 0.0
    if may_be_unread:
        largest, most = 0.0, sum(one.behind for one, _ in unended)
        weight = sum(one.weight for one, _ in unended)
    for place, missing in [*_first_of_each_kind(order, k, unended), *_last_first(order, k, unended)]:
        own = worth[order[place]]
        if place < k and own <= most:
            gap = own - largest
            needed = max(needed, weight / gap - RRF_CONSTANT if gap > 0 else math.inf)
        if missing:
            largest, most = max(largest, own), max(most, own + sum(one.behind for one in missing))
            weight = max(weight, sum(one.weight for one in missing))
    return needed


def _first_of_each_kind(order: Sequence[int], k: int, unended: Unended) -> Iterator[Placed]:
    """Of the places from `k` on the first where a document stands that these lists lack: those behind it that the
    same lists lack are worth less."""
    kinds = 1 if len(unended) < 2 else 2 ** len(unended) - 2
    seen: set[tuple[RankedList, ...]] = set()
    for place in range(k, len(order)):
        missing = _missing(order[place], unended)
        if missing and missing not in seen:
            seen.add(missing)
            yield place, missing
            if len(seen) == kinds:
                return


def _last_first(order: Sequence[int], k: int, unended: Unended) -> Iterator[Placed]:
    for place in range(min(k, len(order)) - 1, -1, -1):
        yield place, _missing(order[place], unended)


def _missing(doc_id: int, unended: Unended) -> tuple[RankedList, ...]:
    """The lists that a document may yet be found in."""
    return tuple([one for one, doc_ids in unended if doc_id not in doc_ids])
