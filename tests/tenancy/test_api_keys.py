"""What a key looks like, and that it is never shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tenancy.keys import CANARY, key_of

from pykyro.model.errors import Unauthenticated
from pykyro.tenancy.api_keys import (
    ApiKey,
    digest_from_hash,
    digest_of,
    generate_key,
    key_fault,
    presented_key,
    redacted,
    tenant_id_fault,
)


@pytest.mark.parametrize("tenant_id", ["a", "acme", "a_b_c", "_", "__", "A9_"])
def test_a_generated_key_is_valid(tenant_id: str) -> None:
    key = generate_key(tenant_id)
    assert key_fault(key, tenant_id) == ""
    assert key != generate_key(tenant_id)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (f"kyro_acme_{'s' * 32}", ""),
        (f"kyro_acme_{'s' * 31}", "has 31 characters, the minimum is 32"),
        (f"kyro_acme_{'s' * 31}-", "letters and digits only"),
        (f"kyro_acme_{'s' * 31}é", "letters and digits only"),
        (f"kyro_other_{'s' * 32}", "another tenant"),
        (f"kyro_{'s' * 40}", "kyro_<tenant_id>_<secret>"),
        (f"acme_{'s' * 40}", "kyro_<tenant_id>_<secret>"),
        ("s" * 40, "kyro_<tenant_id>_<secret>"),
        (f"kyro__{'s' * 40}", "another tenant"),
        ("kyro_acme_", "has 0 characters"),
    ],
)
def test_a_key_that_cannot_be_is_told_why(key: str, says: str) -> None:
    fault = key_fault(key, "acme")
    assert says in fault
    assert bool(fault) == bool(says)


@given(prefix=st.text(max_size=12), suffix=st.text(max_size=12), tenant_id=st.text(max_size=8))
def test_no_fault_shows_the_secret(prefix: str, suffix: str, tenant_id: str) -> None:
    for key in (prefix + CANARY + suffix, f"kyro_{CANARY}_{suffix}", f"kyro_{tenant_id}_{CANARY}{suffix}"):
        assert CANARY not in key_fault(key, tenant_id)
        assert CANARY not in redacted(key, tenant_id)


def test_a_redacted_key_still_names_its_tenant() -> None:
    assert redacted(key_of("acme"), "acme") == "kyro_acme_****"
    assert redacted(key_of("other"), "acme") == "kyro_****"
    assert redacted("password", "acme") == "****"


@pytest.mark.parametrize("tenant_id", ["", "a b", "a-b", "é", "a\n", "x" * 257])
def test_a_tenant_id_that_cannot_be_is_refused(tenant_id: str) -> None:
    assert tenant_id_fault(tenant_id) != ""


def test_a_hash_reads_back() -> None:
    digest = digest_of(key_of("acme"))
    key = ApiKey(digest, "acme", "Acme", 1)
    assert digest_from_hash(key.key_hash) == digest
    assert key.key_id == digest.hex()[:12]
    for wrong in ("", "sha256:", key.key_hash.upper(), key.key_hash[:-1], key.key_hash + "0", digest.hex()):
        assert digest_from_hash(wrong) is None


def test_a_key_shows_neither_secret_nor_digest() -> None:
    key = ApiKey(digest_of(key_of("acme", CANARY)), "acme", "Acme", 1)
    assert CANARY not in repr(key)
    assert key.digest.hex() not in repr(key)
    assert repr(key.digest) not in repr(key)


def test_x_api_key_wins_right_or_wrong() -> None:
    assert presented_key("a", "Bearer b") == "a"
    assert presented_key("", "Bearer b") == ""
    assert presented_key(None, "Bearer b") == "b"


@pytest.mark.parametrize("authorization", [None, "", "bearer b", "BEARER b", "Basic b", "b", "Bearer"])
def test_no_key_is_missing_and_not_invalid(authorization: str | None) -> None:
    with pytest.raises(Unauthenticated, match=r"^missing api key$"):
        presented_key(None, authorization)
