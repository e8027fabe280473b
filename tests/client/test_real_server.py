"""Clients against a server of their own: full, restarted, used by many at once."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.client.stores import ALL_DOCUMENTS, DIMENSION, client_of, random_vectors
from tests.patience import PATIENCE_S
from tests.server.running import RunningServer, free_port, running_server

import pykyro
from pykyro import Client, InsertReport, InvalidArgument, ResourceExhausted, Unavailable
from pykyro.proto import kyrodb_pb2 as pb

ONES = [1.0] * DIMENSION


def test_documents_beyond_the_room_are_named(tmp_path: Path) -> None:
    vectors = random_vectors(40)
    reports: dict[str, InsertReport] = {}
    documents = [(doc_id, vector) for doc_id, vector in enumerate(vectors, start=1)]
    with pykyro.open(tmp_path / "embedded", dimension=DIMENSION, documents_max=30) as database:
        reports["embedded"] = database.insert_many(documents)
        with pytest.raises(ResourceExhausted, match="index full: 30 elements"):
            database.insert(50, ONES)
    with running_server(tmp_path, hnsw__dimension=DIMENSION, hnsw__max_elements=30) as server:
        for kind in ("client", "async"):
            with client_of(kind, f"127.0.0.1:{server.port}") as client:
                client.delete_many(filter=ALL_DOCUMENTS)
                reports[kind] = client.insert_many(documents)
                with pytest.raises(ResourceExhausted, match="index full: 30 elements"):
                    client.insert(50, ONES)
                assert client.stats().documents == 30
    for report in reports.values():
        assert report.inserted == 30
        assert [refusal.id for refusal in report.refused] == list(range(31, 41))
        assert all("index full" in refusal.reason for refusal in report.refused)


def test_clients_outlive_a_restart_of_their_server(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"server__port": free_port(), "hnsw__dimension": DIMENSION}
    target = f"127.0.0.1:{settings['server__port']}"
    with (
        client_of("client", target, timeout_s=200) as client,
        client_of("async", target, timeout_s=200) as awaited,
        ThreadPoolExecutor(4) as pool,
    ):
        with running_server(tmp_path, **settings):
            client.insert(1, ONES, {"a": "x"})
            awaited.insert(2, ONES, {"a": "y"})
            client.insert(3, ONES)
        # Each attempt without a server makes the pauses of the connection longer, up to their bound.
        found = [pool.submit(gone.search, ONES, 1, filter={"a": "y"}) for gone in (client, awaited)]
        removed = [pool.submit(gone.delete, 3) for gone in (client, awaited)]
        assert not wait(found, timeout=3).done
        assert not wait(removed, timeout=0).done
        with running_server(tmp_path, **settings):
            assert [call.result(200).ids.tolist() for call in found] == [[2], [2]]
            assert sorted(call.result(200) for call in removed) == [False, True]
            assert awaited.search(ONES, 1, filter={"a": "x"}).ids.tolist() == [1]


def test_a_filter_may_be_the_raw_message(server: RunningServer) -> None:
    for kind in ("client", "async"):
        with client_of(kind, f"127.0.0.1:{server.port}") as client:
            client.delete_many(filter=ALL_DOCUMENTS)
            client.insert_many([(1, ONES, {"a": "x"}), (2, ONES, {"a": "y"})])
            message = pb.MetadataFilter(exact=pb.ExactMatch(key="a", value="y"))
            assert client.search(ONES, filter=message).ids.tolist() == [2]
            assert [answer.ids.tolist() for answer in client.search_many([ONES], filter=message)] == [[2]]
            assert client.delete_many(filter=message) == 1
            with pytest.raises(InvalidArgument, match="names no condition"):
                client.delete_many(filter=pb.MetadataFilter())


def test_threads_share_a_client(server: RunningServer) -> None:
    vectors = random_vectors(200)
    with Client(f"127.0.0.1:{server.port}") as client, ThreadPoolExecutor(8) as pool:
        client.delete_many(filter=ALL_DOCUMENTS)
        list(pool.map(lambda at: client.insert(at + 1, vectors[at]), range(200)))
        found = list(pool.map(lambda vector: client.search(vector, 1)[0].id, vectors))
    assert found == list(range(1, 201))


def test_tasks_share_a_client(server: RunningServer) -> None:
    vectors = random_vectors(200)

    async def use() -> list[int]:
        async with pykyro.AsyncClient(f"127.0.0.1:{server.port}") as client:
            await client.delete_many(filter=ALL_DOCUMENTS)
            await asyncio.gather(*(client.insert(at + 1, vector) for at, vector in enumerate(vectors)))
            answers = await asyncio.gather(*(client.search(vector, 1) for vector in vectors))
            return [answer[0].id for answer in answers]

    assert asyncio.run(use()) == list(range(1, 201))


def test_closing_ends_what_is_under_way(server: RunningServer) -> None:
    async def close_amid_calls() -> list[object]:
        client = pykyro.AsyncClient(f"127.0.0.1:{server.port}")
        await client.health()
        queries = np.ones((4000, DIMENSION))
        calls = [asyncio.create_task(client.search_many(queries)) for _ in range(3)]
        await asyncio.sleep(0.05)
        await client.close()
        return await asyncio.gather(*calls, return_exceptions=True)

    for outcome in asyncio.run(close_amid_calls()):
        assert isinstance(outcome, Unavailable)


def test_a_cancelled_task_is_cancelled(server: RunningServer) -> None:
    async def cancel() -> None:
        async with pykyro.AsyncClient(f"127.0.0.1:{server.port}") as client:
            await client.health()
            task = asyncio.create_task(client.search_many(np.ones((4000, DIMENSION))))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await client.health()).status in {"healthy", "degraded"}

    asyncio.run(cancel())


def test_closing_in_another_thread_ends_a_call(server: RunningServer) -> None:
    client = Client(f"127.0.0.1:{server.port}")
    client.health()
    outcomes: list[BaseException] = []

    def search() -> None:
        try:
            while True:
                client.search_many(np.ones((500, DIMENSION)))
        except BaseException as error:
            outcomes.append(error)

    thread = threading.Thread(target=search)
    thread.start()
    client.close()
    thread.join(PATIENCE_S)
    assert [type(outcome) for outcome in outcomes] == [Unavailable]
