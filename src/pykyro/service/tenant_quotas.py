"""Quotas over all collections: how much of a tenant's is used in the others.

Within a collection the engine counts, exactly. What is in the others is looked at once a second: so tenants who write
to several collections at once may exceed their quota by what they write in that second, and by no more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from pykyro.database.counts import KnownCounts
from pykyro.engine.engine import Engine
from pykyro.model.collection import DEFAULT_NUMBER
from pykyro.service.access import Access, KeyAccess
from pykyro.tenancy.quota import Quota

LOOK_EVERY_S: Final = 1.0


class TenantQuotas:
    """Used on the event loop, but for `look`."""

    def __init__(self, default: Engine, counts: KnownCounts) -> None:
        self._default = default
        self._counts = counts
        self._totals: Counter[str] = Counter()
        self._of_number: dict[int, dict[str, int]] = {}

    def within(self, quota: Quota, number: int) -> Quota:
        """The quota of a tenant for the collection of this number."""
        elsewhere = self._totals[quota.tenant_id] - self._of_number.get(number, {}).get(quota.tenant_id, 0)
        return quota.beside(elsewhere)

    def look(self) -> None:
        """Count every tenant's documents. From any thread."""
        self._counts.count_again()
        of_number = {number: counts.tenants for number, counts in self._counts.by_number().items()}
        of_number[DEFAULT_NUMBER] = self._default.tenant_documents()
        totals: Counter[str] = Counter()
        for tenants in of_number.values():
            totals.update(tenants)
        self._of_number, self._totals = of_number, totals

    async def run(self, access: Access) -> None:
        """Keep the quotas of all callers true until cancelled; without keys there are none."""
        if not isinstance(access, KeyAccess):
            return
        while True:
            await asyncio.to_thread(self.look)
            access.follow_quotas(lambda quota: self.within(quota, DEFAULT_NUMBER))
            await asyncio.sleep(LOOK_EVERY_S)
