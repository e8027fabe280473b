"""TLS and mutual TLS on both ports: who gets in, who does not, and what the log says about it."""

from __future__ import annotations

import datetime
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import httpx
import pytest
import trustme
from tests.contract.corner import DIMENSION, TRANSPORTS
from tests.patience import PATIENCE_S
from tests.server.running import RunningServer, start_server, stub

from pykyro.proto import kyrodb_pb2 as pb

CA, STRANGER = trustme.CA(), trustme.CA()
CLIENT = CA.issue_cert("client")
_YEAR = [datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) for year in (2020, 2021)]
CLIENTS: dict[str, trustme.LeafCert | None] = {
    "none": None,
    "of another authority": STRANGER.issue_cert("client"),
    "expired": CA.issue_cert("client", not_before=_YEAR[0], not_after=_YEAR[1]),
}
LOGGED = {
    "none": "PEER_DID_NOT_RETURN_A_CERTIFICATE",
    "of another authority": "unable to get local issuer certificate",
    "expired": "certificate has expired",
}


class TlsServer:
    """The process, its files, and ways to knock at its doors."""

    def __init__(self, server: RunningServer, directory: Path, transport: str) -> None:
        self.server = server
        self.directory = directory
        self.transport = transport
        self.tells_why = transport == "grpcio"
        """Whether the log says why a client of the gRPC port did not get in; h2corn keeps it to itself."""

    def call(
        self, authority: trustme.CA = CA, client: trustme.LeafCert | None = CLIENT, name: str = "localhost"
    ) -> str:
        """The code of one call over TLS."""
        credentials = grpc.ssl_channel_credentials(
            authority.cert_pem.bytes(),
            None if client is None else client.private_key_pem.bytes(),
            None if client is None else chain_of(client),
        )
        options = [("grpc.ssl_target_name_override", name)]
        channel = grpc.secure_channel(f"localhost:{self.server.port}", credentials, options)
        return self._called(channel)

    def call_in_clear(self) -> str:
        return self._called(grpc.insecure_channel(f"localhost:{self.server.port}"))

    def http(
        self,
        path: str = "/ready",
        authority: trustme.CA = CA,
        client: trustme.LeafCert | None = CLIENT,
        host: str = "localhost",
    ) -> httpx.Response:
        context = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
        if client is not None:
            client.configure_cert(context)
        url = f"https://{host}:{self.server.http_port}{path}"
        return httpx.get(url, verify=context, trust_env=False, timeout=PATIENCE_S)

    def wait_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self.server.process.poll() is None:
            try:
                if self.http().status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(self.server.log)

    def logs(self, text: str) -> bool:
        """Whether the log says so, if not yet then soon."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.server.log and time.monotonic() < deadline:
            time.sleep(0.02)
        return text in self.server.log

    def reload(self, ends: str = "configuration reloaded") -> None:
        before = self.server.log.count(ends)
        self.server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + PATIENCE_S
        while self.server.log.count(ends) == before:
            assert time.monotonic() < deadline, self.server.log
            time.sleep(0.02)
        time.sleep(0.1)

    def _called(self, channel: grpc.Channel) -> str:
        with channel:
            try:
                stub(channel).Health(pb.HealthRequest(), timeout=PATIENCE_S)
            except grpc.RpcError as error:
                return str(error.code().name)
        return "OK"


def chain_of(certificate: trustme.LeafCert) -> bytes:
    return b"".join(blob.bytes() for blob in certificate.cert_chain_pems)


def issue(directory: Path, authority: trustme.CA, *names: str, trusted: trustme.CA = CA) -> None:
    """Write the server's certificate and the authority its clients must have theirs from."""
    certificate = authority.issue_cert(*names)
    (directory / "server.pem").write_bytes(chain_of(certificate))
    (directory / "server.key").write_bytes(certificate.private_key_pem.bytes())
    (directory / "ca.pem").write_bytes(trusted.cert_pem.bytes())


@pytest.fixture(scope="module", params=TRANSPORTS)
def mutual(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    """Asks clients of both ports for certificates."""
    yield from _served(request.param, tmp_path_factory.mktemp("mtls"), require="true", http="mtls")


@pytest.fixture(scope="module", params=TRANSPORTS)
def one_sided(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TlsServer]:
    """Asks for none."""
    yield from _served(request.param, tmp_path_factory.mktemp("tls"), require="false", http="tls")


def _served(transport: str, directory: Path, *, require: str, http: str) -> Iterator[TlsServer]:
    issue(directory, CA, "localhost")
    settings: dict[str, object] = {
        "hnsw__dimension": DIMENSION,
        "server__transport": transport,
        "server__tls__enabled": "true",
        "server__tls__http": http,
        "server__tls__require_client_cert": require,
        "server__tls__cert_path": directory / "server.pem",
        "server__tls__key_path": directory / "server.key",
        "server__tls__ca_cert_path": directory / "ca.pem",
    }
    tls = TlsServer(start_server(directory, settings), directory, transport)
    try:
        tls.wait_ready()
        yield tls
        assert tls.server.stop() == 0
    finally:
        tls.server.channel.close()
        if tls.server.process.poll() is None:
            tls.server.process.kill()
            tls.server.process.wait()


def test_a_client_with_a_certificate_gets_in(mutual: TlsServer) -> None:
    assert mutual.call() == "OK"
    assert mutual.http("/health").json()["status"] == "healthy"
    assert f"({mutual.transport})" in mutual.server.log


def test_a_client_needs_no_certificate_where_none_is_asked_for(one_sided: TlsServer) -> None:
    assert one_sided.call(client=None) == "OK"
    assert one_sided.http(client=None).status_code == 200


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_client_without_a_good_certificate_is_refused_and_logged(mutual: TlsServer, kind: str) -> None:
    before = mutual.server.log.count(LOGGED[kind])
    assert mutual.call(client=CLIENTS[kind]) == "UNAVAILABLE"
    assert not mutual.tells_why or mutual.logs(LOGGED[kind])
    with pytest.raises(httpx.TransportError):
        mutual.http(client=CLIENTS[kind])
    assert mutual.logs(f"HTTP port: TLS handshake failed: {LOGGED[kind]}")
    assert mutual.server.log.count(LOGGED[kind]) >= before + 1 + mutual.tells_why


@pytest.mark.parametrize(
    "knock",
    [
        lambda tls: tls.call(authority=STRANGER, client=None),
        lambda tls: tls.call(client=None, name="elsewhere.example"),
    ],
    ids=["unknown authority", "wrong name"],
)
def test_a_client_that_distrusts_the_server_stays_out(
    one_sided: TlsServer, knock: Callable[[TlsServer], str]
) -> None:
    assert knock(one_sided) == "UNAVAILABLE"


def test_a_client_that_distrusts_the_http_port_stays_out_and_is_logged(one_sided: TlsServer) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        one_sided.http(authority=STRANGER, client=None)
    assert one_sided.logs("HTTP port: TLS handshake failed: TLSV1_ALERT_UNKNOWN_CA")
    with pytest.raises(httpx.ConnectError, match=r"Hostname mismatch|IP address mismatch"):
        one_sided.http(client=None, host="127.0.0.1")


def test_clear_text_is_refused_and_logged(one_sided: TlsServer) -> None:
    assert one_sided.call_in_clear() == "UNAVAILABLE"
    assert not one_sided.tells_why or one_sided.logs("WRONG_VERSION_NUMBER")
    with pytest.raises(httpx.TransportError):
        httpx.get(
            f"http://localhost:{one_sided.server.http_port}/health", trust_env=False, timeout=PATIENCE_S
        )
    assert one_sided.logs("HTTP port: TLS handshake failed: HTTP_REQUEST")


def test_new_certificates_are_used_after_a_reload(mutual: TlsServer) -> None:
    """The authority changes too: old clients stay out, new ones get in, and back again."""
    newcomer = STRANGER.issue_cert("client")
    issue(mutual.directory, STRANGER, "localhost", trusted=STRANGER)
    mutual.reload()
    assert mutual.call(authority=STRANGER, client=newcomer) == "OK"
    assert mutual.http(authority=STRANGER, client=newcomer).status_code == 200
    assert mutual.call() == "UNAVAILABLE"
    with pytest.raises(httpx.TransportError):
        mutual.http()
    issue(mutual.directory, CA, "localhost")
    mutual.reload()
    assert mutual.call() == "OK"
    assert mutual.http().status_code == 200


@pytest.mark.parametrize("name", ["server.pem", "server.key", "ca.pem"])
def test_certificates_that_cannot_be_used_leave_the_old_ones_in_force(mutual: TlsServer, name: str) -> None:
    good = (mutual.directory / name).read_bytes()
    for bad in (b"", b"no certificate", STRANGER.issue_cert("x").private_key_pem.bytes()):
        (mutual.directory / name).write_bytes(bad)
        mutual.reload("configuration reload refused: server.tls")
    assert mutual.call() == "OK"
    assert mutual.http("/health").json()["status"] == "degraded"
    (mutual.directory / name).write_bytes(good)
    mutual.reload()
    assert mutual.http("/health").json()["status"] == "healthy"
