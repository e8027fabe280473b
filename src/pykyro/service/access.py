"""Who is calling: the one place every RPC asks, before it looks at the request.

A `Caller` is what the rest of the server sees of whoever calls: which documents, how fast, how many, and where it is
counted. It is made once a key and handed out again for every call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from pykyro.model.errors import Unauthenticated
from pykyro.model.limits import OPEN_CONNECTIONS_MAX
from pykyro.model.types import EVERYTHING, TENANT_ID_KEY, Scope
from pykyro.service.fair_queue import NOBODYS, Share
from pykyro.tenancy.api_keys import ApiKey, presented_key
from pykyro.tenancy.key_ring import KeyRing
from pykyro.tenancy.quota import Quota
from pykyro.tenancy.rate_limit import RateLimiter, TokenBucket
from pykyro.tenancy.usage import Usage, UsageLedger


class Call(Protocol):
    """What is asked of a call, whatever serves it."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """Keys in lower case; the values of `-bin` keys are bytes."""
        ...

    def peer(self) -> str:
        """Where it comes from, such as ipv4:127.0.0.1:51234."""
        ...


@dataclass(slots=True, eq=False)
class Caller:
    """Whoever makes a call. `tenant` None is somebody without a key, where none is needed: such a caller stores and
    sees documents of no tenant.

    `share` names whose part of the server the calls take. A reload may change the other fields of a caller whose
    streams are open.
    """

    tenant: int | None = None
    tenant_id: str = ""
    is_admin: bool = True
    limit: Quota | None = None
    usage: Usage = field(default_factory=Usage)
    limiter: RateLimiter | None = None
    bucket: TokenBucket | None = None
    revoked: bool = False
    share: Share = NOBODYS

    def scope(self, namespace: str) -> Scope:
        """The documents a request of this caller that names `namespace` ("" = all) may see."""
        if self.tenant is None and not namespace:
            return EVERYTHING
        return Scope(self.tenant, namespace)

    def reserved_entries(self, namespace: str) -> dict[str, str]:
        """The metadata entries the database adds to a document of this caller in `namespace`."""
        entries = self.scope(namespace).constraints
        if self.tenant is not None:
            entries[TENANT_ID_KEY] = self.tenant_id
        return entries

    def spend(self) -> None:
        """Pay for a request, or a message of a stream. Raises ResourceExhausted for one that comes too fast,
        Unauthenticated when the key has been disabled since the stream began."""
        if self.revoked:
            raise Unauthenticated("invalid api key")
        if self.limiter is not None:
            self.limiter.take(self.bucket)


ANYBODY: Final = Caller()


class Access(Protocol):
    """Decides who a caller is. Used on the event loop."""

    known: dict[str, Caller]
    """Callers by the place they call from, for whom `caller` need not be asked: they need no key and have no rate."""

    def caller(self, call: Call) -> Caller:
        """Whoever makes this call. Raises Unauthenticated."""
        ...


class OpenAccess:
    """auth.enabled=false: everybody may do everything, each address as fast as rate_limit says."""

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter
        self.known: dict[str, Caller] = {}

    def follow_limits(self) -> None:
        """Take over whether rates are limited, after a change of them."""
        self.known.clear()

    def caller(self, call: Call) -> Caller:
        peer = call.peer()
        if not self._limiter.enabled:
            known = self.known.get(peer)
            return known if known is not None else self._met(peer)
        # Without its port: who opens more connections is not allowed more.
        family, _, address = peer.partition(":")
        host, _, _ = address.rpartition(":")
        bucket = self._limiter.peer(host) if family != "unix" else None
        return Caller(limiter=self._limiter, bucket=bucket, share=(host, address))

    def _met(self, peer: str) -> Caller:
        if len(self.known) >= OPEN_CONNECTIONS_MAX:
            self.known.clear()
        host, _, _ = peer.rpartition(":")
        caller = self.known[peer] = Caller(share=(host, peer))
        return caller


class KeyAccess:
    """auth.enabled=true: callers are the tenants of their keys."""

    def __init__(
        self, ring: KeyRing, indices: Mapping[str, int], limiter: RateLimiter, ledger: UsageLedger
    ) -> None:
        """`indices` are the numbers of all tenants of `ring`."""
        self._ring = ring
        self._indices = indices
        self._limiter = limiter
        self._ledger = ledger
        self._callers: dict[bytes, Caller] = {}
        self.known: dict[str, Caller] = {}

    def caller(self, call: Call) -> Caller:
        key = self._ring.find(_presented(call))
        known = self._callers.get(key.digest)
        if known is not None:
            return known
        caller = self._callers[key.digest] = Caller(
            self._indices[key.tenant_id],
            key.tenant_id,
            usage=self._ledger.of(key.tenant_id),
            limiter=self._limiter,
            share=(key.tenant_id, ""),
        )
        self._set_terms(caller, key)
        return caller

    def replace(self, ring: KeyRing, indices: Mapping[str, int]) -> None:
        """Take other keys, also for the streams that are open; after a change of the rate limits too."""
        self._ring, self._indices = ring, indices
        for digest, caller in list(self._callers.items()):
            key = ring.get(digest)
            if key is None or key.tenant_id != caller.tenant_id:
                caller.revoked = True
                del self._callers[digest]
            else:
                self._set_terms(caller, key)

    @property
    def ring(self) -> KeyRing:
        """The keys in force."""
        return self._ring

    def follow_tenants(self, indices: Mapping[str, int]) -> None:
        """Take over other numbers of the same tenants."""
        self._indices = indices
        for caller in self._callers.values():
            caller.tenant = indices.get(caller.tenant_id, caller.tenant)

    def follow_quotas(self, within: Callable[[Quota], Quota]) -> None:
        """Take over what is left of each caller's quota."""
        for caller in self._callers.values():
            if caller.limit is not None:
                caller.limit = within(caller.limit)

    def _set_terms(self, caller: Caller, key: ApiKey) -> None:
        tenant = self._ring.tenants[key.tenant_id]
        caller.is_admin = key.is_admin
        caller.limit = Quota(tenant.tenant_id, tenant.max_vectors)
        caller.bucket = self._limiter.tenant(tenant.tenant_id, tenant.max_qps)


def _presented(call: Call) -> str:
    x_api_key = authorization = None
    for name, value in call.invocation_metadata() or ():
        if name == "x-api-key" and x_api_key is None:
            x_api_key = str(value)
        elif name == "authorization" and authorization is None:
            authorization = str(value)
    return presented_key(x_api_key, authorization)
