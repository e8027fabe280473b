"""How a client connects: TLS against a real handshake, the key, and arguments that cannot work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.client.certificates import Certificates, make_certificates
from tests.client.scripted import ok, scripted_server
from tests.client.stores import client_of

import pykyro
from pykyro import InvalidArgument, Tls, Unavailable
from pykyro.client.channel import connection
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.version import __version__

HEALTHY = {"Health": [ok(pb.HealthResponse(status=pb.HealthResponse.HEALTHY))]}
kinds = pytest.mark.parametrize("kind", ["client", "async"])


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@kinds
def test_tls_with_an_authority_of_ones_own(kind: str, certificates: Certificates) -> None:
    with (
        scripted_server(HEALTHY, certificates.server_credentials()) as script,
        client_of(kind, script.target, tls=Tls(ca=certificates.ca, server_name="db.internal")) as client,
    ):
        assert client.health().status == "healthy"


@kinds
@pytest.mark.parametrize("tls", ["wrong name", "strangers", "none"])
def test_a_server_that_is_not_proved_is_not_talked_to(
    kind: str, tls: str, certificates: Certificates
) -> None:
    wanted = {
        "wrong name": Tls(ca=certificates.ca, server_name="other.internal"),
        "strangers": Tls(server_name="db.internal"),
        "none": False,
    }[tls]
    with (
        scripted_server(HEALTHY, certificates.server_credentials()) as script,
        client_of(kind, script.target, tls=wanted, timeout_s=1, api_key="secret") as client,
        pytest.raises(Unavailable),
    ):
        client.health()
    assert script.asked == []


@kinds
def test_mutual_tls(kind: str, certificates: Certificates) -> None:
    mutual = Tls(
        ca=certificates.ca.read_bytes(),
        cert=str(certificates.client),
        key=certificates.client_key,
        server_name="db.internal",
    )
    with scripted_server(HEALTHY, certificates.server_credentials(asks_client=True)) as script:
        with client_of(kind, script.target, tls=mutual) as client:
            assert client.health().status == "healthy"
        stranger = Tls(ca=certificates.ca, server_name="db.internal")
        with (
            client_of(kind, script.target, tls=stranger, timeout_s=1) as client,
            pytest.raises(Unavailable),
        ):
            client.health()


@kinds
def test_the_key_goes_with_every_call(kind: str) -> None:
    with scripted_server(HEALTHY) as script:
        with client_of(kind, script.target, api_key="kyro_key") as client:
            client.health()
        assert script.metadata["x-api-key"] == "kyro_key"
        assert f"kyrodb-python/{__version__}" in str(script.metadata["user-agent"])
        with client_of(kind, script.target) as client:
            client.health()
        assert "x-api-key" not in script.metadata


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"target": "localhost"}, "host:port"),
        ({"target": 50051}, "host:port"),
        ({"timeout_s": 0}, "above 0, got 0"),
        ({"timeout_s": float("inf")}, "above 0, got inf"),
        ({"timeout_s": float("nan")}, "above 0, got nan"),
        ({"timeout_s": "5"}, "above 0, got '5'"),
        ({"tls": "ca.pem"}, "must be a Tls, True or False, got str"),
        ({"tls": Tls(cert=b"x")}, "together"),
        ({"api_key": ""}, "api_key must be"),
        ({"api_key": "käse"}, "api_key must be"),
        ({"api_key": "line\nbreak"}, "api_key must be"),
    ],
)
@pytest.mark.parametrize("client", [pykyro.Client, pykyro.AsyncClient])
def test_arguments_that_cannot_work(client: Any, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        client(**arguments)
    assert "käse" not in str(caught.value)


@pytest.mark.parametrize("client", [pykyro.Client, pykyro.AsyncClient])
def test_a_certificate_that_is_not_there(client: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"ca\.pem"):
        client(tls=Tls(ca=tmp_path / "ca.pem"))


def test_secrets_are_not_shown() -> None:
    mutual = Tls(cert=b"chain", key=b"SECRET")
    assert "SECRET" not in repr(mutual)
    assert "chain" in repr(mutual)
    assert "kyro_SECRET" not in repr(connection("localhost:50051", "kyro_SECRET", False, 1))
