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

    def refusal(self) -> QuotaExceeded:
        """The error of a document that found no room."""
        return QuotaExceeded(
            f"max_vectors quota exceeded: tenant={self.tenant_id} limit={self.documents_max}"
        )
