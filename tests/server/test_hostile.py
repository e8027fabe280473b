"""A few hundred clients that mean no good, against a real server: it goes on answering rightly, and nothing of them
is left afterwards. The long form with figures is benchmarks/hostile_clients.py."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.contract.corner import TRANSPORTS
from tests.operations.observed import metric
from tests.patience import wait_until
from tests.server.hostile import ON_GRPC, ON_HTTP, Campaign
from tests.server.running import RunningServer, running_server
from tests.tenancy.keys import entry, key_of, write_keys

from pykyro.proto import kyrodb_pb2 as pb

KEY = key_of("acme", "h" * 32)
AUTH = (("x-api-key", KEY),)
ATTACKS = 20 * (len(ON_GRPC) + len(ON_HTTP))
MEMORY_GROWTH_MAX = 1.5


@pytest.fixture(params=TRANSPORTS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningServer]:
    keys = write_keys(tmp_path / "keys.yaml", entry("acme", key=KEY))
    with running_server(
        tmp_path,
        server__transport=request.param,
        hnsw__dimension=3,
        auth__enabled="true",
        auth__api_keys_file=keys,
    ) as running:
        documents = (pb.InsertRequest(doc_id=at, embedding=[1.0, at / 20, 0.5]) for at in range(1, 101))
        assert running.stub.BulkInsert(documents, metadata=AUTH).success
        yield running


def nearest(server: RunningServer, doc_id: int) -> int:
    question = pb.SearchRequest(query_embedding=[1.0, doc_id / 20, 0.5], k=1, ef_search=50)
    (found,) = server.stub.Search(question, metadata=AUTH, timeout=60).results
    return int(found.doc_id)


def test_others_get_right_answers_meanwhile_and_nothing_is_left_afterwards(server: RunningServer) -> None:
    process = psutil.Process(server.process.pid)
    assert nearest(server, 1) == 1
    files, memory = process.num_fds(), process.memory_info().rss
    over = threading.Event()
    answers: list[bool] = []

    def ask() -> None:
        while not over.is_set():
            doc_id = 1 + len(answers) % 100
            answers.append(nearest(server, doc_id) == doc_id)

    async def attack() -> None:
        campaign = Campaign(server.port, server.http_port, at_once=128)
        await campaign.attack(ATTACKS)
        # What clings to the port for ever is seen, and the other port answers too.
        await asyncio.to_thread(wait_until, lambda: metric(server, "connections") >= 40, "they are counted")
        await campaign.end()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        asyncio.run(attack())
    finally:
        over.set()
        asking.join()
    assert len(answers) > 10
    assert all(answers)
    wait_until(lambda: process.num_fds() <= files + 5, "their connections are gone")
    wait_until(lambda: metric(server, "connections") < 40, "and no longer counted")
    assert process.memory_info().rss < MEMORY_GROWTH_MAX * memory
    assert server.http("/health").status_code == 200
    assert nearest(server, 100) == 100
