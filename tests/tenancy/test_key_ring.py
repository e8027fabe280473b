"""Which keys open, and how many cost how much."""

from __future__ import annotations

import hmac
import tracemalloc

import pytest
from tests.tenancy.keys import CANARY, key_of

from pykyro.model.errors import Unauthenticated
from pykyro.tenancy.api_keys import ApiKey, digest_of
from pykyro.tenancy.key_ring import KeyRing, Tenant


def api_key(key: str, tenant_id: str = "acme", **fields: object) -> ApiKey:
    return ApiKey(digest_of(key), tenant_id, "Acme", **({"max_vectors": 10} | fields))  # type: ignore[arg-type]


def test_an_enabled_key_opens() -> None:
    key = api_key(key_of("acme"))
    assert KeyRing([key, api_key(key_of("b"), "b")]).find(key_of("acme")) is key


@pytest.mark.parametrize(
    "presented", ["", "x", key_of("acme")[:-1], key_of("acme") + "s", "é", "\udcff", CANARY]
)
def test_any_other_key_is_invalid_and_not_shown(presented: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        KeyRing([api_key(key_of("acme"))]).find(presented)
    assert refused.value.args == ("invalid api key",)


def test_a_disabled_key_is_as_unknown_as_any() -> None:
    ring = KeyRing([api_key(key_of("acme"), enabled=False)])
    with pytest.raises(Unauthenticated, match=r"^invalid api key$"):
        ring.find(key_of("acme"))
    assert ring.tenants == {}


def test_known_and_unknown_keys_are_both_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((len(left), len(right)))
        return left == right

    monkeypatch.setattr(hmac, "compare_digest", compare)
    ring = KeyRing([api_key(key_of("acme"))])
    ring.find(key_of("acme"))
    with pytest.raises(Unauthenticated):
        ring.find("unknown")
    assert compared == [(32, 32), (32, 32)]


def test_a_tenant_has_the_largest_limits_of_its_enabled_keys() -> None:
    ring = KeyRing(
        [
            api_key("1", max_vectors=5, max_qps=9),
            api_key("2", max_vectors=7, max_qps=0),
            api_key("3", max_vectors=99, max_qps=99, enabled=False),
            api_key("4", "b", max_vectors=1),
        ]
    )
    assert ring.tenants == {"acme": Tenant("acme", 7, 9), "b": Tenant("b", 1, 0)}
    assert len(ring) == 3


def test_an_idle_tenant_costs_less_than_a_kilobyte() -> None:
    tenants = 2000
    tracemalloc.start()
    try:
        ring = KeyRing(
            ApiKey(digest_of(str(at)), f"tenant_{at}", f"Tenant {at}", 1000 + at) for at in range(tenants)
        )
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(ring) == tenants
    assert size / tenants < 1024
