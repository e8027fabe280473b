"""How many live documents each tenant has.

Counts start from the tiers once, and every write changes them, so they are exact at any moment and cost a dictionary
entry a tenant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pykyro.engine.tiers.tier import SearchTier
from pykyro.model.limits import TENANT_INDEX_MAX
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

    def numbers_of(self, tenant_ids: Sequence[str], known: Mapping[str, int]) -> dict[str, int]:
        """The numbers of these tenants where no number can be given out: who has none is told one that no document
        has."""
        unknown = (TENANT_INDEX_MAX - at for at in range(len(tenant_ids)))
        return {
            tenant_id: known[tenant_id] if tenant_id in known else next(unknown) for tenant_id in tenant_ids
        }

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
