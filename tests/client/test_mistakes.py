"""A client that meets something else than the server it was made for says which mistake that is."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from tests.client.certificates import Certificates, make_certificates
from tests.client.scripted import ok, scripted_server
from tests.client.stores import client_of
from tests.server.running import running_server

from pykyro import DeadlineExceeded, FailedPrecondition, InvalidArgument, Tls, Unavailable
from pykyro.proto import kyrodb_pb2 as pb

pytestmark = pytest.mark.parametrize("kind", ["client", "async"])
HEALTHY = {"Health": [ok(pb.HealthResponse(status=pb.HealthResponse.HEALTHY))]}
LONG_S = 120.0
"""A mistake that waiting cannot mend is told long before."""


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("theirs"))


@contextlib.contextmanager
def listening(serve: Callable[[socket.socket], object]) -> Iterator[str]:
    """A port where each connection is served so, one after the other."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    serve(connection)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _refused(kind: str, target: str, tls: Tls | bool, words: str, timeout_s: float = LONG_S) -> None:
    with (
        client_of(kind, target, tls=tls, timeout_s=timeout_s) as client,
        pytest.raises(Unavailable, match=words) as caught,
    ):
        client.health()
    assert "gRPC: " in str(caught.value)
    # The last attempt may have ended with its deadline.
    assert isinstance(caught.value.__cause__, grpc.RpcError | DeadlineExceeded)


def test_a_plain_client_at_a_tls_port(kind: str, ours: Certificates) -> None:
    with scripted_server(HEALTHY, ours.server_credentials()) as script:
        _refused(
            kind, script.target, False, "uses TLS, but this client does not: give tls=True or tls=pykyro.Tls"
        )


def test_a_tls_client_at_a_plain_port(kind: str, ours: Certificates) -> None:
    with scripted_server(HEALTHY) as script:
        _refused(
            kind, script.target, Tls(ca=ours.ca), "does not use TLS, but this client does: leave tls out"
        )


def test_another_authority(kind: str, ours: Certificates, theirs: Certificates) -> None:
    with scripted_server(HEALTHY, ours.server_credentials()) as script:
        wrong = Tls(ca=theirs.ca, server_name="db.internal")
        _refused(kind, script.target, wrong, "not signed by an authority that tls.ca names")
        _refused(kind, script.target, True, "not signed by an authority that gRPC trusts by default")


def test_another_name(kind: str, ours: Certificates) -> None:
    with scripted_server(HEALTHY, ours.server_credentials()) as script:
        words = "is not for '127.0.0.1' but for db.internal: .*server_name="
        _refused(kind, script.target, Tls(ca=ours.ca), words)
        _refused(kind, script.target, Tls(ca=ours.ca, server_name="other"), "is not for 'other'")


def test_no_certificate_of_the_clients(kind: str, ours: Certificates) -> None:
    with scripted_server(HEALTHY, ours.server_credentials(asks_client=True)) as script:
        for tls in (Tls(ca=ours.ca, server_name="db.internal"), False):
            _refused(
                kind, script.target, tls, r"asks clients for a certificate: give tls=pykyro.Tls\(ca=…, cert=…"
            )


def test_a_certificate_that_is_not_accepted(kind: str, ours: Certificates, theirs: Certificates) -> None:
    strange = Tls(ours.ca, theirs.client, theirs.client_key, "db.internal")
    with scripted_server(HEALTHY, ours.server_credentials(asks_client=True)) as script:
        _refused(kind, script.target, strange, "does not accept the certificate of tls.cert")


def test_what_is_no_pem(kind: str, ours: Certificates, theirs: Certificates) -> None:
    with scripted_server(HEALTHY, ours.server_credentials()) as script:
        for tls in (Tls(ca=b"no PEM"), Tls(ours.ca, ours.client, theirs.client_key)):
            _refused(kind, script.target, tls, "no usable PEM, or the key does not belong to the certificate")


class _Silent(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_web_server(kind: str) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Silent) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            for tls in (False, True):
                _refused(
                    kind, f"127.0.0.1:{server.server_port}", tls, "speaks HTTP/1, not gRPC: .* minus 1000"
                )
        finally:
            server.shutdown()
            thread.join()


def test_the_http_port_of_a_server(kind: str, tmp_path: Path) -> None:
    with running_server(tmp_path, hnsw__dimension=4) as server:
        for tls in (False, True):
            _refused(kind, f"127.0.0.1:{server.http_port}", tls, "speaks HTTP/1, not gRPC: .*server.port")


def test_another_program(kind: str) -> None:
    with listening(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")) as target:
        for tls in (False, True):
            _refused(kind, target, tls, "another program listens there")


def test_a_program_that_says_nothing(kind: str) -> None:
    ended = threading.Event()
    with listening(lambda connection: ended.wait(60)) as target:
        try:
            with (
                client_of(kind, target, timeout_s=0.5) as client,
                pytest.raises(
                    DeadlineExceeded, match=r"did not answer within timeout_s = 0.5: .* sends nothing"
                ),
            ):
                client.health()
        finally:
            ended.set()


def test_a_server_of_something_else(kind: str) -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with (
            client_of(kind, f"127.0.0.1:{port}") as client,
            pytest.raises(
                FailedPrecondition, match=r"speaks gRPC but does not know this call .*not a KyroDB server"
            ),
        ):
            client.health()
    finally:
        server.stop(None).wait()


def test_nobody_listens(kind: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{closed.getsockname()[1]}"
        _refused(kind, target, False, f"no server listens at {target}: is the server started", 0.5)
        _refused(kind, target, True, f"no server listens at {target}: is the server started", 0.5)


def test_no_such_name(kind: str) -> None:
    _refused(kind, "no-such-host.invalid:50051", False, "no-such-host.invalid:50051 cannot be resolved", 0.5)


def test_no_such_socket(kind: str, tmp_path: Path) -> None:
    _refused(
        kind, f"unix:{tmp_path / 'none'}", False, "there is no socket .*none: is the server started", 0.5
    )


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("http://localhost:50051", "write 'localhost:50051'"),
        ("https://localhost:50051/", "tls=True for TLS"),
        ("localhost", "must be host:port"),
        ("localhost:port", "must be host:port"),
        (":50051", "must be host:port"),
        ("localhost:99999", "a port from 1 to 65535, got 99999"),
        ("", "must be host:port"),
        (50051, "must be host:port"),
    ],
)
def test_what_is_no_target(kind: str, target: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words), client_of(kind, target):
        pass


def test_a_server_that_answers_is_not_looked_at(kind: str) -> None:
    with scripted_server(HEALTHY) as script, client_of(kind, script.target) as client:
        for _ in range(3):
            assert client.health().status == "healthy"
    assert len(script.asked) == 3
