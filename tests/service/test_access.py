"""Who a caller is, and what a reload makes of one whose streams are open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from pykyro.config.settings.server import RateLimitSettings
from pykyro.model.errors import ResourceExhausted, Unauthenticated
from pykyro.model.types import EVERYTHING, Scope
from pykyro.service.access import ANYBODY, Caller, KeyAccess, OpenAccess
from pykyro.tenancy.api_keys import ApiKey, digest_of
from pykyro.tenancy.key_ring import KeyRing
from pykyro.tenancy.rate_limit import RateLimiter
from pykyro.tenancy.usage import UsageLedger


@dataclass
class FakeCall:
    metadata: Sequence[tuple[str, str | bytes]] | None = None
    address: str = "ipv4:10.0.0.1:5000"

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None:
        return self.metadata

    def peer(self) -> str:
        return self.address


def limiter(*, enabled: bool, caller: int = 2, everybody: int = 100) -> RateLimiter:
    settings = RateLimitSettings(
        enabled=enabled, max_qps_per_connection=caller, max_qps_global=everybody, burst_capacity=1000
    )
    return RateLimiter(settings, lambda: 0.0)


def api_key(key: str, **fields: object) -> ApiKey:
    return ApiKey(digest_of(key), **({"tenant_id": "acme", "tenant_name": "A", "max_vectors": 5} | fields))  # type: ignore[arg-type]


def keyed(*keys: ApiKey) -> KeyAccess:
    ring = KeyRing(keys)
    indices = {tenant: 1 + at for at, tenant in enumerate(ring.tenants)}
    return KeyAccess(ring, indices, limiter(enabled=False), UsageLedger())


def passed(access: OpenAccess, address: str) -> int:
    """Of five calls at once from this address, how many are let through."""
    count = 0
    for _ in range(5):
        try:
            access.caller(FakeCall(address=address)).spend()
        except ResourceExhausted:
            continue
        count += 1
    return count


def test_without_auth_and_limits_everybody_is_anybody() -> None:
    access = OpenAccess(limiter(enabled=False))
    near, far = (
        access.caller(FakeCall(address="ipv4:10.0.0.1:1")),
        access.caller(FakeCall(address="ipv4:10.0.0.1:2")),
    )
    assert (near.tenant, near.limiter, near.is_admin) == (ANYBODY.tenant, ANYBODY.limiter, ANYBODY.is_admin)
    assert near is access.caller(FakeCall(address="ipv4:10.0.0.1:1"))
    # One address, two connections: one part of the server, of which each has half.
    assert near.share[0] == far.share[0]
    assert near.share[1] != far.share[1]
    assert ANYBODY.scope("") is EVERYTHING
    assert ANYBODY.reserved_entries("n") == {"__namespace__": "n"}
    ANYBODY.spend()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("ipv4:10.0.0.1:5000", "ipv4:10.0.0.1:5001"),
        ("ipv6:[::1]:5000", "ipv6:[::1]:5001"),
        ("ipv6:%5B::1%5D:5000", "ipv6:%5B::1%5D:5001"),
    ],
)
def test_more_connections_of_one_address_are_not_allowed_more(first: str, second: str) -> None:
    access = OpenAccess(limiter(enabled=True))
    assert passed(access, first) == 2
    assert passed(access, second) == 0
    assert passed(access, "ipv4:10.0.0.2:5000") == 2


def test_calls_whose_address_is_unknown_have_the_global_rate_alone() -> None:
    assert passed(OpenAccess(limiter(enabled=True)), "unix:") == 5
    assert passed(OpenAccess(limiter(enabled=True, everybody=3)), "unix:") == 3


def test_a_key_is_one_caller_whose_documents_are_its_tenants() -> None:
    access = keyed(api_key("k", max_qps=9, is_admin=True), api_key("other", tenant_id="globex"))
    caller = access.caller(FakeCall([("user-agent", "x"), ("x-api-key", "k")]))
    assert access.caller(FakeCall([("authorization", "Bearer k")])) is caller
    assert (caller.tenant, caller.tenant_id, caller.is_admin) == (1, "acme", True)
    assert caller.scope("n") == Scope(1, "n")
    assert caller.reserved_entries("n") == {
        "__tenant_id__": "acme",
        "__tenant_idx__": "1",
        "__namespace__": "n",
    }


@pytest.mark.parametrize("metadata", [None, [], [("x-api-key-bin", b"k")], [("authorization", "k")]])
def test_no_key_is_nobody(metadata: Sequence[tuple[str, str | bytes]] | None) -> None:
    with pytest.raises(Unauthenticated, match="missing api key"):
        keyed(api_key("k")).caller(FakeCall(metadata))


def test_two_keys_of_a_tenant_share_usage_and_rate() -> None:
    access = keyed(api_key("k", max_qps=4), api_key("l", max_qps=4))
    first, second = (access.caller(FakeCall([("x-api-key", key)])) for key in "kl")
    assert first is not second
    assert first.usage is second.usage
    assert first.bucket is second.bucket is not None


def test_a_reload_changes_callers_that_are_at_work() -> None:
    access = keyed(api_key("k"), api_key("gone"), api_key("moved"))
    kept, gone, moved = (access.caller(FakeCall([("x-api-key", key)])) for key in ("k", "gone", "moved"))
    ring = KeyRing([api_key("k", max_vectors=9, is_admin=True), api_key("moved", tenant_id="globex")])
    access.replace(ring, {"acme": 1, "globex": 2})
    assert access.caller(FakeCall([("x-api-key", "k")])) is kept
    assert (kept.is_admin, kept.revoked) == (True, False)
    assert kept.limit is not None
    assert kept.limit.documents_max == 9
    for caller in (gone, moved):
        with pytest.raises(Unauthenticated, match="invalid api key"):
            caller.spend()
    assert access.caller(FakeCall([("x-api-key", "moved")])).tenant == 2


def test_callers_are_compared_as_what_they_are() -> None:
    assert Caller(1, "a") != Caller(1, "a")
