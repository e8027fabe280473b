"""What a request takes, known before it runs: microseconds of a processor, bytes of an answer."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from pykyro.engine.remote.errors import RowGone
from pykyro.engine.state import State
from pykyro.engine.tiers.tier import OrdersByValue
from pykyro.engine.words.leg_search import LegSearches
from pykyro.index.metadata.cost import check_cost
from pykyro.index.metadata.simplify import simplified
from pykyro.model.errors import InvalidArgument
from pykyro.model.filter import Filter
from pykyro.model.limits import FILTER_COST_US_MAX
from pykyro.model.requests import SearchRequest
from pykyro.model.types import AnyId, Scope, key_of

_COMPONENTS_PER_US: Final = 1000
"""Of vectors, compared in a scan."""


_ENTRIES_PER_US: Final = 50
"""Rows that are looked at, each with one value."""
_VALUE_US: Final = 3
"""Of a value whose text is read and compared with those of other tiers."""
_SMALL_US: Final = 10_000


class RequestCosts:
    """Of the database as it is at this moment. Thread-safe, takes no lock but that of a metadata index."""

    def __init__(self, state: State, by_legs: LegSearches | None = None) -> None:
        """Of searches too, given `by_legs`."""
        self._state = state
        self._by_legs = by_legs

    def search_us(self, request: SearchRequest) -> int:
        """About how many microseconds the filter of a search takes, its words, and its scan if it is exact; says the
        filter with as few conditions as it can be said. Raises InvalidArgument when one would take too long, and
        FailedPrecondition for words where none are kept."""
        total_us = 0
        if request.legs is not None and self._by_legs is not None:
            total_us = self._by_legs.cost_us(request)
        if request.exact:
            total_us = self._state.documents * self._state.dimension // _COMPONENTS_PER_US
        if request.filter is not None:
            request.filter = simplified(request.filter)
            total_us += self.filter_us(request.filter)
        return total_us

    def filter_us(self, condition: Filter) -> int:
        """About how many microseconds a simplified filter takes in all tiers. Raises InvalidArgument when that is too
        long."""
        total_us = sum(tier.cost_us(condition) for tier in self._state.version.oldest_first)
        check_cost(total_us, self._state.documents)
        return total_us

    def check_order(self, key: str) -> None:
        """Refuse a listing by value that would go through too many. Raises InvalidArgument."""
        tiers = [tier for tier in self._state.version.oldest_first if not isinstance(tier, OrdersByValue)]
        rows = sum(tier.index.sizes_under(key)[1] for tier in tiers)
        _check(rows // _ENTRIES_PER_US, f"a page ordered by {key[:40]!r}", "order_by", "order by id instead")

    def check_facets(self, key: str, condition: Filter | None) -> None:
        """Refuse facets that would take too long: reading the values is what takes the time. Raises
        InvalidArgument."""
        total_us = 0
        for tier in self._state.version.oldest_first:
            if isinstance(tier, OrdersByValue):
                continue
            values, rows = tier.index.sizes_under(key)
            total_us += rows // _ENTRIES_PER_US
            if values * _VALUE_US > _SMALL_US:
                # No more values than documents, but for lists; to count those costs less than to read the values.
                values = min(values, tier.count(condition) * max(1, rows // max(1, tier.count(None))))
            total_us += values * _VALUE_US
        _check(
            total_us,
            f"facets of {key[:40]!r}",
            "key",
            "narrow them by a filter, or name a key with fewer values",
        )

    def answer_bytes(self, doc_id: AnyId, scope: Scope, *, with_vector: bool) -> int:
        """Bytes of metadata and, `with_vector`, of the vector that an answer with this document has; 0 when it is
        absent. One out of scope may count: that would take a look at its metadata."""
        if isinstance(doc_id, str):
            found = self._state.find_text(scope.tenant, doc_id)
            place = None if found is None else found[1]
        else:
            place = self._state.find(key_of(scope.tenant, doc_id))
        if place is None:
            return 0
        if place.tier is self._state.version.remote:
            with suppress(RowGone):
                return place.tier.public_bytes((place.row,)) + 4 * self._state.dimension
            return 0
        vector_bytes = 4 * self._state.dimension if with_vector else 0
        return place.tier.public_bytes((place.row,)) + vector_bytes


def _check(total_us: int, what: str, field: str, way_out: str) -> None:
    if total_us > FILTER_COST_US_MAX:
        raise InvalidArgument(
            f"{what} would take about {total_us / 1e6:.1f} s of a processor; the maximum is "
            f"{FILTER_COST_US_MAX / 1e6:.1f} s: {way_out}",
            field=field,
        )
