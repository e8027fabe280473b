"""More connections than the process may open files: others are served meanwhile, and the database keeps its files."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tests.contract.corner import TRANSPORTS
from tests.operations.observed import metric
from tests.patience import wait_until
from tests.server.running import RunningServer, running_server, stub

from pykyro.proto import kyrodb_pb2 as pb

WAIT_S = 60.0
DOCUMENTS = 12


@contextlib.contextmanager
def silent(ports: list[int], count: int) -> Iterator[None]:
    """So many connections to each port that say nothing, as far as the server takes them."""
    with contextlib.ExitStack() as held:
        for _ in range(count):
            for port in ports:
                with contextlib.suppress(OSError):
                    held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=1))
        yield


def insert_as_a_new_client(server: RunningServer, doc_id: int) -> None:
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=options) as channel:
        request = pb.InsertRequest(doc_id=doc_id, embedding=[1.0, 0.0, 0.0, 0.0])
        assert stub(channel).Insert(request, timeout=WAIT_S, wait_for_ready=True).success


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("files", [256, 1024])
def test_silent_connections_take_no_file_the_database_needs(
    tmp_path: Path, transport: str, files: int
) -> None:
    wrapper = ("bash", "-c", f'ulimit -n {files}; exec "$@"', "limited")
    settings: dict[str, object] = {
        "hnsw__dimension": 4,
        "server__transport": transport,
        # A log file for each document, which needs files while the connections are there.
        "persistence__max_wal_size_bytes": 1,
    }
    with running_server(tmp_path, (), wrapper, **settings) as server:
        descriptors = Path(f"/proc/{server.process.pid}/fd")
        before = len(os.listdir(descriptors))
        with silent([server.port, server.http_port], files):
            for doc_id in range(1, DOCUMENTS + 1):
                insert_as_a_new_client(server, doc_id)
            assert server.stub.FlushHotTier(pb.FlushRequest(force=True)).success
            wait_until(lambda: server.http("/health").status_code == 200)
            health = server.http_json("/health")
            assert "connections were closed" in health["reason"]
            assert metric(server, "connections_shed_total") > 0
            assert metric(server, "wal_circuit_breaker_state") == 0
            if transport == "grpcio":
                assert len(os.listdir(descriptors)) < 0.85 * files
        wait_until(lambda: re.search("connections (were|are being) closed", server.log) is not None)
        # All of them gone, nothing is left of it.
        wait_until(lambda: len(os.listdir(descriptors)) <= before + 10)
        insert_as_a_new_client(server, DOCUMENTS + 1)
    with running_server(tmp_path, hnsw__dimension=4) as server:
        request = pb.SearchRequest(query_embedding=[1.0, 0.0, 0.0, 0.0], k=1, exact=True)
        assert server.stub.Search(request).matched == DOCUMENTS + 1
