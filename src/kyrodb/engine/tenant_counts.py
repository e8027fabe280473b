"""How many live documents each tenant has.

A tenant's documents are those whose ids have its number as their upper half. Counts start from the tiers once and
then follow every write, so they are exact at any moment and cost a dictionary entry a tenant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from kyrodb.engine.tier import SearchTier
from kyrodb.types import TENANT_SHIFT


class TenantCounts:
    """Counts of the tenants that were asked for; documents of others, or of none, are passed over."""

    def __init__(self) -> None:
        self._documents: dict[int, int] = {}

    def follow(self, tenants: Iterable[int], tiers: Sequence[SearchTier]) -> None:
        """Begin to count these tenants, whose documents are in `tiers` now. For the writer."""
        new = [tenant for tenant in tenants if tenant not in self._documents]
        if not new:
            return
        found = dict.fromkeys(new, 0)
        for tier in tiers:
            numbers, counts = np.unique(tier.doc_ids_matching(None) >> TENANT_SHIFT, return_counts=True)
            for number, count in zip(numbers.tolist(), counts.tolist()):
                if number in found:
                    found[number] += count
        self._documents.update(found)

    def of(self, tenant: int) -> int:
        """Live documents of a tenant; 0 for one that is not followed."""
        return self._documents.get(tenant, 0)

    def added(self, doc_id: int) -> None:
        """A document that was not there is."""
        tenant = doc_id >> TENANT_SHIFT
        if tenant in self._documents:
            self._documents[tenant] += 1

    def removed(self, doc_id: int) -> None:
        """A document that was there is not."""
        tenant = doc_id >> TENANT_SHIFT
        if tenant in self._documents:
            self._documents[tenant] -= 1
