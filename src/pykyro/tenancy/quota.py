"""How many documents a tenant may hold.

The engine counts: only it knows, under the lock of a commit, whether a document is new. So the bound is exact
however many calls race for the last place, and groups of writes get the part of them that fits.
"""

from __future__ import annotations

from dataclasses import dataclass

from pykyro.model.errors import ResourceExhausted


class QuotaExceeded(ResourceExhausted):
    """A new document of a tenant that has all it may have."""


@dataclass(frozen=True, slots=True)
class Quota:
    """The bound of one tenant, in the shape the engine takes it (engine.requests.DocumentLimit)."""

    tenant_id: str
    documents_max: int
    """What is left for one collection."""
    of_all: int | None = None
    """The bound for all collections together, if the tenant has documents in others."""

    @property
    def stated(self) -> int:
        """The bound as the key file states it."""
        return self.documents_max if self.of_all is None else self.of_all

    def beside(self, elsewhere: int) -> Quota:
        """The same quota for a collection, while so many documents are in others."""
        if not elsewhere:
            return Quota(self.tenant_id, self.stated)
        return Quota(self.tenant_id, max(0, self.stated - elsewhere), self.stated)

    def refusal(self) -> QuotaExceeded:
        """The error of a document that found no room."""
        return QuotaExceeded(f"max_vectors quota exceeded: tenant={self.tenant_id} limit={self.stated}")
