"""Clients against a server that asks for keys and certificates."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.client.certificates import Certificates, make_certificates
from tests.client.stores import DIMENSION, client_of
from tests.patience import PATIENCE_S
from tests.server.running import start_server
from tests.tenancy.keys import entry, key_of, write_keys

import pykyro
from pykyro import Client, PermissionDenied, ResourceExhausted, Tls, Unauthenticated, Unavailable

pytestmark = pytest.mark.parametrize("kind", ["client", "async"])

ONES = [1.0] * DIMENSION
Connect = Callable[..., Any]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def target(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with mutual TLS and two tenants; one has an admin's key, the other room for three documents."""
    directory = tmp_path_factory.mktemp("guarded")
    keys = write_keys(directory / "keys.yaml", entry("acme", is_admin="true"), entry("tiny", max_vectors=3))
    settings = {
        "hnsw__dimension": DIMENSION,
        "auth__enabled": "true",
        "auth__api_keys_file": keys,
        **certificates.mutual_tls,
    }
    server = start_server(directory, settings)
    try:
        target = f"127.0.0.1:{server.port}"
        with Client(target, tls=tls_of(certificates), api_key=key_of("acme"), timeout_s=2) as client:
            deadline = time.monotonic() + PATIENCE_S
            while True:
                try:
                    client.health()
                    break
                except Unavailable:
                    assert time.monotonic() < deadline, server.log
                    assert server.process.poll() is None, server.log
        yield target
    finally:
        server.stop()


def tls_of(certificates: Certificates) -> Tls:
    return Tls(certificates.ca, certificates.client, certificates.client_key, server_name="db.internal")


def test_tenants_see_their_own_documents(kind: str, target: str, certificates: Certificates) -> None:
    tls = tls_of(certificates)
    with (
        client_of(kind, target, tls=tls, api_key=key_of("acme")) as acme,
        client_of(kind, target, tls=tls, api_key=key_of("tiny")) as tiny,
    ):
        acme.insert_many([(doc_id, ONES, {"owner": "acme"}) for doc_id in range(1, 6)])
        report = tiny.insert_many([(doc_id, ONES, {"owner": "tiny"}) for doc_id in range(1, 6)])
        assert report.inserted == 3
        assert [refusal.id for refusal in report.refused] == [4, 5]
        assert "max_vectors quota exceeded: tenant=tiny limit=3" in report.refused[0].reason
        with pytest.raises(ResourceExhausted, match="quota exceeded"):
            tiny.insert(9, ONES)
        found = tiny.search(ONES, 10)
        assert found.ids.tolist() == [1, 2, 3]
        assert {hit.metadata["owner"] for hit in found} == {"tiny"}
        assert tiny.get(5) is None
        assert tiny.delete_many(range(1, 10)) == 3
        assert acme.search(ONES, 10).ids.tolist() == [1, 2, 3, 4, 5]
        tiny.insert_many([(2**32 + 1, ONES, {"owner": "tiny"}), (2**64 - 1, ONES, {"owner": "tiny"})])
        assert tiny.search(ONES, 10).ids.tolist() == [2**32 + 1, 2**64 - 1]
        assert acme.get(2**64 - 1) is None
        assert acme.search(ONES, 10).ids.tolist() == [1, 2, 3, 4, 5]
        assert tiny.delete_many([2**32 + 1, 2**64 - 1, 1]) == 2


def test_keys_open_what_they_should(kind: str, target: str, certificates: Certificates) -> None:
    tls = tls_of(certificates)
    with client_of(kind, target, tls=tls, api_key=key_of("acme")) as admin:
        assert admin.flush(force=False).documents >= 0
    with (
        client_of(kind, target, tls=tls, api_key=key_of("tiny")) as tenant,
        pytest.raises(PermissionDenied),
    ):
        tenant.flush()
    with client_of(kind, target, tls=tls) as nobody, pytest.raises(Unauthenticated, match="missing api key"):
        nobody.search(ONES)
    with (
        client_of(kind, target, tls=tls, api_key=key_of("acme", "x" * 32)) as stranger,
        pytest.raises(Unauthenticated, match="invalid api key"),
    ):
        stranger.insert_many([(1, ONES)])


def test_a_client_without_a_certificate_is_not_let_in(
    kind: str, target: str, certificates: Certificates
) -> None:
    tls = pykyro.Tls(ca=certificates.ca, server_name="db.internal")
    with (
        client_of(kind, target, tls=tls, api_key=key_of("acme"), timeout_s=1) as client,
        pytest.raises(Unavailable),
    ):
        client.health()
