"""Messages that are small only while they are compressed: refused at the bound, before memory pays for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.server.running import RunningServer, running_server, stub
from tests.tenancy.keys import entry, key_of, write_keys

from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto.methods import METHODS

KEY = key_of("acme", "b" * 32)
BOMB = bytes(64 << 20)
"""A thousandth of it on the wire."""
GROWTH_MIB_MAX = 32
"""Of the server at its peak; inflated, one message alone takes twice as much."""
ENCODINGS = [grpc.Compression.Gzip, grpc.Compression.Deflate]
REFUSED = {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAUTHENTICATED}
"""Streams of somebody without a key are refused before their first message is there."""
HEALTH = "/grpc.health.v1.Health/Check"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """As installed, with keys that the attackers do not have."""
    directory = tmp_path_factory.mktemp("compressed")
    keys = write_keys(directory / "keys.yaml", entry("acme", key=KEY))
    with running_server(
        directory, hnsw__dimension=4, auth__enabled="true", auth__api_keys_file=keys
    ) as running:
        yield running


def channel(server: RunningServer, compression: grpc.Compression) -> grpc.Channel:
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.insecure_channel(f"127.0.0.1:{server.port}", options=options, compression=compression)


def peak_mib(server: RunningServer) -> int:
    """The most memory the server has occupied so far."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{server.process.pid}/status").read_text("ascii"))
    assert found is not None
    return int(found[1]) >> 10


def end_of(calls: grpc.Channel, path: str, *, streams: bool, before: int = 0) -> grpc.StatusCode:
    """How a call ends that sends so many small messages, then the bomb."""
    messages = [b""] * before + [BOMB]
    method: Any = calls.stream_stream if streams else calls.unary_unary
    call = method(path)(iter(messages)) if streams else method(path)
    try:
        list(call) if streams else call(BOMB)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


@pytest.mark.parametrize("compression", ENCODINGS)
def test_inflating_stops_at_the_bound_whatever_is_called(
    server: RunningServer, compression: grpc.Compression
) -> None:
    before = peak_mib(server)
    with channel(server, compression) as calls:
        paths = {method.path: method.client_streaming for method in METHODS.values()}
        paths |= {HEALTH: False, REFLECTION: True}
        if compression is not grpc.Compression.Gzip:
            # Which of the two it is makes no difference to whom it is sent.
            paths = {
                path: paths[path] for path in (METHODS["Search"].path, METHODS["BulkInsert"].path, HEALTH)
            }
        for path, streams in paths.items():
            assert end_of(calls, path, streams=streams) in REFUSED, path
    assert peak_mib(server) - before < GROWTH_MIB_MAX


def test_many_at_once_and_late_in_a_stream_cost_no_more(server: RunningServer) -> None:
    before = peak_mib(server)
    search, load = METHODS["Search"].path, REFLECTION

    def attack(number: int) -> grpc.StatusCode:
        with channel(server, grpc.Compression.Gzip) as calls:
            if number % 2:
                return end_of(calls, search, streams=False)
            return end_of(calls, load, streams=True, before=3)

    with ThreadPoolExecutor(4) as attackers:
        ends = set(attackers.map(attack, range(12)))
    assert ends == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert peak_mib(server) - before < GROWTH_MIB_MAX


@pytest.mark.parametrize("compression", ENCODINGS)
def test_clients_that_compress_are_served(server: RunningServer, compression: grpc.Compression) -> None:
    with channel(server, compression) as calls:
        client, auth = stub(calls), (("x-api-key", KEY),)
        documents = [
            pb.InsertRequest(doc_id=at, embedding=[1.0, at, 0.0, 0.0], metadata={"text": "word " * 2000})
            for at in range(1, 20)
        ]
        assert client.Insert(documents[0], metadata=auth).success
        assert client.BulkInsert(iter(documents[1:]), metadata=auth).total_inserted == 18
        question = pb.SearchRequest(query_embedding=[1.0, 7.0, 0.0, 0.0], k=1)
        assert client.Search(question, metadata=auth).results[0].doc_id == 7
