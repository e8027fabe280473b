"""A leader, followers and a promote, each a server process of its own, over an archive in a directory."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from tests.patience import wait_until
from tests.server.running import RunningServer, running_server, start_server

import pykyro
from pykyro.proto import kyrodb_pb2 as pb


def insert(server: RunningServer, doc_id: int, value: str = "") -> int:
    """The position of the write."""
    answer = server.stub.Insert(
        pb.InsertRequest(doc_id=doc_id, embedding=[doc_id, 1, 2, 3], metadata={"value": value})
    )
    return int(answer.position)


def documents(server: RunningServer) -> dict[int, str]:
    answer = server.stub.Scroll(pb.ScrollRequest(limit=1000))
    return {one.doc_id: one.metadata["value"] for one in answer.documents}


def refusal(call: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call()  # type: ignore[operator]
    return raised.value.code(), str(raised.value.details())


def promote(directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pykyro.cli.kyrodb", "promote", "--data-dir", str(directory)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_leader_is_frozen_its_follower_promoted_and_the_old_leader_woken(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/archive"
    places = [tmp_path / name for name in ("leader", "follower", "third")]
    for place in places:
        place.mkdir()
    leading = {"hnsw__dimension": 4, "archive__url": url, "archive__max_lag_ms": 100, "cache__capacity": 50}
    with contextlib.ExitStack() as stack:
        leader = stack.enter_context(running_server(places[0], **leading))
        assert leader.http_json("/ready")["status"] == "ready"
        for doc_id in range(1, 200):
            position = insert(leader, doc_id, f"v{doc_id}")
        wait_until(lambda: leader.http("/metrics").text.count("kyrodb_archive_epoch 1"))
        follower = start_server(places[1], {}, ("--follow", url))
        stack.callback(follower.stop)
        follower.wait_ready()

        ready = follower.http_json("/ready")
        assert (ready["status"], ready["epoch"]) == ("follower", 1)
        assert ready["lag_seconds"] >= 0
        fresh = pb.ReadOptions(min_position=position, max_wait_ms=60_000)
        answer = follower.stub.Query(pb.QueryRequest(doc_id=199, read_options=fresh))
        assert answer.found
        assert documents(follower) == documents(leader)
        code, text = refusal(lambda: insert(follower, 1))
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "kyrodb promote" in text
        late = pb.ReadOptions(min_position=position + 1000, max_wait_ms=100)
        code, text = refusal(lambda: follower.stub.Query(pb.QueryRequest(doc_id=1, read_options=late)))
        assert code is grpc.StatusCode.UNAVAILABLE
        assert f"min_position is {position + 1000}" in text
        assert follower.http("/health").status_code == 200
        assert "\nkyrodb_follower_lag_seconds " in follower.http("/metrics").text

        # It stands still in the middle of everything, and does not know how long.
        leader.process.send_signal(signal.SIGSTOP)
        before = documents(follower)
        told = promote(places[1] / "data")
        assert told.returncode == 0, told.stderr
        assert "epoch 2" in told.stdout
        wait_until(lambda: _status(follower) == "ready")
        assert documents(follower) == before
        insert(follower, 500, "of the new leader")

        leader.process.send_signal(signal.SIGCONT)
        insert_until_refused(leader)
        code, text = refusal(lambda: insert(leader, 777))
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "leads" in text
        assert "epoch 2" in text
        health = leader.http("/health")
        assert health.status_code == 503
        assert "epoch 2" in health.text
        assert documents(leader).keys() >= before.keys(), "reads go on"
        leader.stop()
        again = start_server(places[0], leading)
        assert again.process.wait(100) == 1
        assert "On its disk alone stand" in again.log
        assert "--follow" in again.log

        third = start_server(places[2], {}, ("--follow", url))
        stack.callback(third.stop)
        third.wait_ready()
        wait_until(lambda: documents(third) == documents(follower) == before | {500: "of the new leader"})

        # The promoted server is the leader at its next start as well, with the same command.
        assert follower.stop() == 0
        follower = start_server(places[1], {"archive__max_lag_ms": 100}, ("--follow", url))
        stack.callback(follower.stop)
        follower.wait_ready()
        assert _status(follower) == "ready"
        position = insert(follower, 501, "still")
        fresh = pb.ReadOptions(min_position=position, max_wait_ms=60_000)
        assert third.stub.Query(pb.QueryRequest(doc_id=501, read_options=fresh)).found


def insert_until_refused(server: RunningServer) -> None:
    """A leader in local mode acknowledges until its next commit fails."""

    def refused() -> bool:
        try:
            insert(server, 600)
        except grpc.RpcError:
            return True
        return False

    wait_until(refused)


def _status(server: RunningServer) -> str:
    with contextlib.suppress(Exception):
        return str(server.http_json("/ready")["status"])
    return ""


def test_a_write_that_is_acknowledged_as_shipped_survives_the_machine(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    (tmp_path / "leader").mkdir()
    settings = {
        "hnsw__dimension": 4,
        "archive__url": archive,
        "archive__max_lag_ms": 60_000,
        "archive__acknowledge": "shipped",
    }
    with running_server(tmp_path / "leader", **settings) as leader:
        collection = pb.CreateCollectionRequest(name="other", config=pb.CollectionConfig(dimension=4))
        leader.stub.CreateCollection(collection)
        for doc_id in range(1, 6):
            insert(leader, doc_id, "shipped")
            request = pb.InsertRequest(doc_id=doc_id, embedding=[1, 2, 3, 4], collection="other")
            leader.stub.Insert(request)
        # Nobody looks at the machine again; what stands elsewhere is enough.
        leader.stop(signal.SIGKILL)
    then = tmp_path / "then"
    fetched = [sys.executable, "-m", "pykyro.cli.kyrodb", "fetch", str(archive), "--data-dir", str(then)]
    subprocess.run(fetched, check=True, capture_output=True)
    with pykyro.open(then) as database:
        assert [document.id for document in database.documents()] == [1, 2, 3, 4, 5]
        assert database.collection("other").count() == 5
