"""Both doors listen where they are told and only there, with either transport."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest
from tests.contract.corner import TRANSPORTS
from tests.patience import wait_until
from tests.server.running import running_server, start_server
from tests.server.test_lifecycle import failed_start

from pykyro.transport.listening import Address, address_of, free_for_grpc, listen

OTHER = "127.0.0.2"
"""Another address of this machine."""


def reaches(host: str, port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection((host, port), timeout=60):
        return True
    return False


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@needs_ipv6
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("127.0.0.1", {"127.0.0.1"}),
        (OTHER, {OTHER}),
        ("0.0.0.0", {"127.0.0.1", OTHER}),
        ("::1", {"::1"}),
        ("[::1]", {"::1"}),
        ("::", {"127.0.0.1", OTHER, "::1"}),
        ("localhost", {str(address_of("localhost", 1).host)}),
    ],
)
def test_each_door_listens_where_it_is_told(
    tmp_path: Path, transport: str, host: str, reached: set[str]
) -> None:
    server = start_server(
        tmp_path, {"server__host": host, "server__transport": transport, "hnsw__dimension": 4}
    )
    try:
        wait_until(lambda: "Server ready" in server.log or server.process.poll() is not None)
        for port in (server.port, server.http_port):
            assert {address for address in ("127.0.0.1", OTHER, "::1") if reaches(address, port)} == reached
        assert server.stop() == 0
    finally:
        server.channel.close()
        server.process.kill()
        server.process.wait()


@needs_ipv6
@pytest.mark.parametrize("key", ["server__port", "server__http_port"])
@pytest.mark.parametrize(
    ("host", "taken"), [("0.0.0.0", "127.0.0.1"), ("0.0.0.0", "0.0.0.0"), ("::", "::1"), ("::", "127.0.0.1")]
)
def test_a_port_of_which_a_part_is_taken_is_refused(tmp_path: Path, key: str, host: str, taken: str) -> None:
    with listen(address_of(taken, 0)) as other:
        port = other.getsockname()[1]
        log = failed_start(tmp_path, server__host=host, **{key: port})
    name = key.replace("__", ".")
    assert f"Error: {name}: cannot listen on {host}:{port}: Address already in use" in log


def test_two_servers_do_not_share_a_port(tmp_path: Path) -> None:
    with running_server(tmp_path, hnsw__dimension=4) as server:
        (tmp_path / "other").mkdir()
        log = failed_start(tmp_path / "other", server__port=server.port)
        assert f"server.port: cannot listen on 127.0.0.1:{server.port}: Address already in use" in log


@needs_ipv6
def test_what_else_listens_on_ipv6_is_no_hindrance_to_ipv4() -> None:
    with listen(Address("::1", 0, is_ipv6=True)) as other:
        port = other.getsockname()[1]
        with free_for_grpc(Address("0.0.0.0", port, is_ipv6=False)):
            pass
        with pytest.raises(OSError, match="in use"), free_for_grpc(Address("::", port, is_ipv6=True)):
            pass
