"""Clients of a leader and its followers, each a server process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.patience import PATIENCE_S, wait_until
from tests.server.running import RunningServer, running_server, start_server

import pykyro
from pykyro.proto import kyrodb_pb2 as pb


@dataclass
class Servers:
    directory: Path
    leader: RunningServer
    followers: list[RunningServer]

    @property
    def targets(self) -> list[str]:
        """The leader is not the first."""
        return [f"127.0.0.1:{server.port}" for server in (*self.followers, self.leader)]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    url = f"file://{tmp_path}/archive"
    places = [tmp_path / name for name in ("leader", "one", "two")]
    for place in places:
        place.mkdir()
    leading = {"hnsw__dimension": 2, "archive__url": url, "archive__max_lag_ms": 100}
    with contextlib.ExitStack() as stack:
        leader = stack.enter_context(running_server(places[0], **leading))
        # One that stands still cannot be stopped.
        stack.callback(lambda: leader.process.send_signal(signal.SIGCONT))
        wait_until(lambda: "kyrodb_archive_epoch 1" in leader.http("/metrics").text)
        followers = []
        for place in places[1:]:
            followers.append(start_server(place, {}, ("--follow", url)))
            stack.callback(followers[-1].stop)
        for follower in followers:
            follower.wait_ready()
        yield Servers(tmp_path, leader, followers)


def searches(server: RunningServer) -> int:
    lines = server.http("/metrics").text.splitlines()
    return sum(
        int(float(line.split()[-1]))
        for line in lines
        if line.startswith("kyrodb_search_duration_seconds_count")
    )


def has_other(server: RunningServer) -> bool:
    listed = server.stub.ListCollections(pb.ListCollectionsRequest()).collections
    return "other" in {info.name for info in listed}


def test_writes_find_the_leader_reads_all_and_a_lost_leader_is_replaced(servers: Servers) -> None:
    leader, (one, two) = servers.leader, servers.followers
    roles = [server.stub.Health(pb.HealthRequest()) for server in (leader, one, two)]
    assert [(role.role, role.archive_epoch) for role in roles] == [
        (pb.HealthResponse.ROLE_LEADER, 1),
        (pb.HealthResponse.ROLE_FOLLOWER, 1),
        (pb.HealthResponse.ROLE_FOLLOWER, 1),
    ]
    with pykyro.Client(servers.targets, timeout_s=PATIENCE_S) as db:
        for number in range(1, 30):
            db.insert(number, [number, 1.0], {"n": number})
            assert db.get(number) is not None, "its own write"
        db.create_collection("other", 2)
        db.collection("other").insert(1, [1.0, 1.0])
        assert db.collection("other").count() == 1
        assert db.delete(29)
        fresh = pb.ReadOptions(min_position=db.position, max_wait_ms=60_000)
        for follower in (one, two):
            follower.stub.Query(pb.QueryRequest(doc_id=1, read_options=fresh))

    with pykyro.Client(servers.targets, timeout_s=PATIENCE_S) as reader:
        before = [searches(server) for server in (leader, one, two)]
        for number in range(30):
            assert len(reader.search([number + 1.0, 1.0], k=5)) == 5
        gained = [searches(server) - had for server, had in zip((leader, one, two), before, strict=True)]
        assert sorted(gained) == [10, 10, 10]

        two.stop(signal.SIGKILL)
        assert all(reader.get(number) is not None for number in range(1, 29)), "the others answer"
        leader.process.send_signal(signal.SIGSTOP)
        assert all(reader.get(number) is not None for number in range(1, 29)), "one answers"
        command = [sys.executable, "-m", "pykyro.cli.kyrodb", "promote", "--data-dir"]
        subprocess.run([*command, str(servers.directory / "one" / "data")], check=True, capture_output=True)
        # What the frozen one does not answer is asked elsewhere, once the promoted server is back.
        with pykyro.Client(servers.targets, timeout_s=PATIENCE_S) as writer:
            writer.insert(99, [5.0, 5.0])
        reader.delete(99)
        reader.insert(100, [5.0, 5.0])
        assert reader.get(100) is not None
        assert reader.count() == 29
        leader.process.send_signal(signal.SIGCONT)
        reader.insert(101, [5.0, 5.0])
        assert one.stub.Query(pb.QueryRequest(doc_id=101)).found


def test_the_awaited_client_does_the_same(servers: Servers) -> None:
    leader, (one, two) = servers.leader, servers.followers

    async def program() -> None:
        async with pykyro.AsyncClient(servers.targets, timeout_s=PATIENCE_S) as db:
            await asyncio.gather(*(db.insert(number, [number, 1.0]) for number in range(1, 20)))
            assert await db.count() == 19
            other = await db.create_collection("other", 2)
            await other.insert_many([(1, [1.0, 1.0]), (2, [1.0, 2.0])])
            assert len(await db.collection("other").search([1.0, 1.0])) == 2
            fresh = pb.ReadOptions(min_position=db.position, max_wait_ms=60_000)
            for follower in (one, two):
                follower.stub.Query(pb.QueryRequest(doc_id=1, read_options=fresh))
                wait_until(functools.partial(has_other, follower))
            leader.stop(signal.SIGKILL)
            assert await asyncio.gather(*(db.get(number) for number in range(1, 20)))
            assert {info.name for info in await db.collections()} == {"default", "other"}
        async with pykyro.AsyncClient(servers.targets, timeout_s=1.0) as db:
            with pytest.raises(pykyro.Unavailable, match="no server takes writes now"):
                await db.insert(1, [1.0, 1.0])

    asyncio.run(program())


@pytest.mark.parametrize("client", [pykyro.Client, pykyro.AsyncClient])
@pytest.mark.parametrize(
    ("target", "text"),
    [
        ([], "1 to 64 addresses, got 0"),
        (["a:1"] * 65, "1 to 64 addresses, got 65"),
        (["a:1", "b:1", "a:1"], "each server once, got 'a:1' again"),
        (["a:1", 7], "must be host:port"),
        (7, "must be host:port"),
    ],
)
def test_what_names_no_servers_is_refused(client: type, target: object, text: str) -> None:
    with pytest.raises(pykyro.InvalidArgument, match=text):
        client(target)
