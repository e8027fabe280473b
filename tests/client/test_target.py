"""Which targets are this machine, whatever proxy the environment names."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tests.client.scripted import ok, scripted_server
from tests.client.stores import client_of

from pykyro import Unavailable
from pykyro.client.channel import connection
from pykyro.client.diagnosis import Diagnosis
from pykyro.client.protocol_probe import Seen
from pykyro.client.status import Failure
from pykyro.client.target import parse_target, proxy_of
from pykyro.proto import kyrodb_pb2 as pb

HEALTHY = {"Health": [ok(pb.HealthResponse(status=pb.HealthResponse.HEALTHY))]}
PROXIES = ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy")


@pytest.mark.parametrize(
    "target",
    [
        "localhost:50051",
        "LOCALHOST:50051",
        "localhost.:50051",
        "db.localhost:50051",
        "127.0.0.1:50051",
        "127.8.9.10:50051",
        "127.1:50051",
        "0.0.0.0:50051",
        "[::1]:50051",
        "[::ffff:127.0.0.1]:50051",
        "[::]:50051",
        "dns:localhost:50051",
        "dns:///localhost:50051",
        "dns://8.8.8.8/localhost:50051",
        "ipv4:127.0.0.1:50051",
        "ipv4:127.0.0.1:50051,127.0.0.2:50051",
        "ipv6:[::1]:50051",
        "unix:relative/socket",
        "unix:///run/kyrodb.sock",
        "unix-abstract:kyrodb",
    ],
)
def test_this_machine(target: str) -> None:
    assert parse_target(target).is_loopback


@pytest.mark.parametrize(
    "target",
    [
        "db.internal:50051",
        "localhost.example.com:50051",
        "notlocalhost:50051",
        "10.0.0.1:50051",
        "128.0.0.1:50051",
        "[fe80::1]:50051",
        "dns:///db.internal:50051",
        "ipv4:127.0.0.1:50051,10.0.0.1:50051",
        "xds:///kyrodb",
    ],
)
def test_elsewhere(target: str) -> None:
    assert not parse_target(target).is_loopback


def test_where_the_socket_and_the_addresses_are() -> None:
    assert parse_target("unix:///run/kyrodb.sock").path == "/run/kyrodb.sock"
    assert parse_target("unix:run/kyrodb.sock").path == "run/kyrodb.sock"
    assert parse_target("dns:///db.internal:7").addresses == (("db.internal", 7),)
    assert parse_target("ipv6:[fe80::1]:7").addresses == (("fe80::1", 7),)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """A proxy that every variable names and that refuses everything; what it was asked."""
    asked: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    for name in PROXIES:
        monkeypatch.setenv(name, f"http://127.0.0.1:{listener.getsockname()[1]}")
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield asked
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.mark.parametrize("kind", ["client", "async"])
@pytest.mark.parametrize("form", ["127.0.0.1:{}", "localhost:{}", "dns:///localhost:{}", "ipv4:127.0.0.1:{}"])
def test_this_machine_is_reached_directly(proxy: list[bytes], kind: str, form: str) -> None:
    with scripted_server(HEALTHY) as script:
        port = script.target.rpartition(":")[2]
        with client_of(kind, form.format(port)) as client:
            assert client.health().status == "healthy"
    assert proxy == []


@pytest.mark.parametrize("kind", ["client", "async"])
def test_a_socket_is_reached_directly(proxy: list[bytes], kind: str, tmp_path: Path) -> None:
    place = f"unix:{tmp_path / 'socket'}"
    with scripted_server(HEALTHY, place=place), client_of(kind, place) as client:
        assert client.health().status == "healthy"
    assert proxy == []


@pytest.mark.parametrize("kind", ["client", "async"])
def test_elsewhere_goes_by_the_proxy_and_the_error_says_so(proxy: list[bytes], kind: str) -> None:
    with (
        client_of(kind, "db.invalid:50051", timeout_s=1) as client,
        pytest.raises(
            Unavailable, match="the proxy that the variable grpc_proxy names: add the host to no_proxy"
        ) as caught,
    ):
        client.health()
    assert isinstance(caught.value.__cause__, grpc.RpcError)
    assert proxy[0].startswith(b"CONNECT db.invalid:50051")


def test_which_variable_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, "no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    target = parse_target("db.internal:50051")
    assert proxy_of(target) == ""
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    assert proxy_of(target) == "http_proxy"
    assert proxy_of(parse_target("localhost:50051")) == ""
    monkeypatch.setenv("no_proxy", "example.com, internal")
    assert proxy_of(target) == ""


@pytest.mark.parametrize(
    ("seen", "text"), [(None, "no server listens at localhost:7"), (Seen.TLS, "localhost:7 uses TLS")]
)
def test_how_the_last_of_several_addresses_went_is_not_the_whole_story(
    monkeypatch: pytest.MonkeyPatch, seen: Seen | None, text: str
) -> None:
    """gRPC tells of one address: ::1 refuses, and 127.0.0.1 may hold a server that speaks TLS."""
    monkeypatch.setattr("pykyro.client.diagnosis.probe_port", lambda *_: seen)
    details = "failed to connect to all addresses; last error: UNKNOWN: ipv6:[::1]:7: Connection refused"
    failure = Failure(grpc.StatusCode.UNAVAILABLE, details, Unavailable(details))
    diagnosis = Diagnosis(connection("localhost:7", None, False, 1.0))
    assert diagnosis.should_probe(failure)
    found = diagnosis.probe(failure, 1.0)
    assert found is not None
    assert text in found.text
