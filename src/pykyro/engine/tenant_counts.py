"""How many live documents each tenant has.

Counts start from the tiers once, and every write changes them, so they are exact at any moment and cost a dictionary
entry a tenant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pykyro.engine.tiers.tier import SearchTier
from pykyro.model.types import OWNER_SHIFT, Key, owner_of


class TenantCounts:
    """Counts of the tenants that were asked for; documents of others, or of none, are passed over."""

    def __init__(self) -> None:
        self.documents: dict[int, int] = {}
        """By owner; not empty once any tenant is counted."""

    def __contains__(self, tenant: int) -> bool:
        """Whether this tenant is counted."""
        return owner_of(tenant) in self.documents

    def count(self, tenants: Iterable[int], tiers: Sequence[SearchTier]) -> None:
        """Begin to count these tenants, whose documents are in `tiers` now. For the writer."""
        new = [owner for owner in map(owner_of, tenants) if owner not in self.documents]
        if not new:
            return
        found = dict.fromkeys(new, 0)
        for tier in tiers:
            for owner, count in tier.live_by_owner().items():
                if owner in found:
                    found[owner] += count
        self.documents.update(found)

    def of(self, tenant: int) -> int:
        """Live documents of a tenant; 0 for one that is not counted."""
        return self.documents.get(owner_of(tenant), 0)

    def added(self, key: Key) -> None:
        """A document that was not there is."""
        owner = key >> OWNER_SHIFT
        if owner in self.documents:
            self.documents[owner] += 1

    def removed(self, key: Key) -> None:
        """A document that was there is not."""
        owner = key >> OWNER_SHIFT
        if owner in self.documents:
            self.documents[owner] -= 1
