"""The keys in force, and the caller that each identifies."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pykyro.model.errors import Unauthenticated
from pykyro.tenancy.api_keys import ApiKey, digest_of

_NO_DIGEST: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Tenant:
    """The properties that all keys of a tenant share. Where they differ, the largest limit counts; `max_qps` 0 is the
    server's default."""

    tenant_id: str
    max_vectors: int
    max_qps: int


class KeyRing:
    """Enabled keys by their digest. Never changed: a reload makes another ring."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys: dict[bytes, ApiKey] = {}
        self.tenants: dict[str, Tenant] = {}
        for key in keys:
            if key.enabled:
                self._keys[key.digest] = key
                self._add_tenant(key)

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, digest: bytes) -> ApiKey | None:
        """The entry with this digest."""
        return self._keys.get(digest)

    def find(self, key: str) -> ApiKey:
        """The entry of a key that was presented. Raises Unauthenticated for one that opens nothing.

        The time it takes tells nothing about any key: the table is searched by digest, which a client cannot choose,
        and the digests are compared in constant time, also when none was found.
        """
        digest = digest_of(key)
        found = self._keys.get(digest)
        if (
            not hmac.compare_digest(found.digest if found is not None else _NO_DIGEST, digest)
            or found is None
        ):
            raise Unauthenticated("invalid api key")
        return found

    def _add_tenant(self, key: ApiKey) -> None:
        known = self.tenants.get(key.tenant_id)
        if known is None:
            self.tenants[key.tenant_id] = Tenant(key.tenant_id, key.max_vectors, key.max_qps)
        elif (key.max_vectors, key.max_qps) != (known.max_vectors, known.max_qps):
            self.tenants[key.tenant_id] = Tenant(
                key.tenant_id, max(key.max_vectors, known.max_vectors), max(key.max_qps, known.max_qps)
            )
