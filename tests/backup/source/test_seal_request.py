"""kyrodb_backup create --seal, against a real server and against whom it must not signal."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.engine.opening import fill, open_small, vectors
from tests.patience import wait_until
from tests.server.running import RunningServer, running_server, start_server

from pykyro.backup.source.seal_request import seal_first
from pykyro.cli.kyrodb_backup import main
from pykyro.model.errors import FailedPrecondition, Unavailable
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.files.lock import owner_of
from pykyro.storage.manifest import read_manifest

DIMENSION = 4
FILES = LocalFileSystem()


def insert(server: RunningServer, first_id: int, count: int) -> None:
    requests = [
        pb.InsertRequest(doc_id=first_id + at, embedding=[1.0, at, 2.0, 3.0], metadata={"at": str(at)})
        for at in range(count)
    ]
    assert server.stub.BulkInsert(iter(requests)).total_inserted == count


def test_server_seals_and_the_backup_needs_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, backups = tmp_path / "data", str(tmp_path / "backups")
    with running_server(tmp_path, hnsw__dimension=DIMENSION) as server:
        insert(server, 1, 300)
        assert read_manifest(FILES, data).sealed_lsn == 0
        command = ["create", "--data-dir", str(data), "--backup-dir", backups, "--seal"]
        assert main(command) == 0
        lines = capsys.readouterr().out.splitlines()
        sealed = read_manifest(FILES, data)
        assert lines[-2:] == ["Vectors: 300", f"Sealed up to position: {sealed.sealed_lsn}"]
        assert sum(segment.row_count for segment in sealed.segments) == 300
        wait_until(lambda: "SIGUSR1: sealed 300 documents" in server.log, "the log says so")
        # Nothing was written since, so nothing has to be sealed, and that is soon said.
        assert main(command) == 0
        assert server.stub.Query(pb.QueryRequest(doc_id=7)).found
        # A change of metadata or a deletion alone is also something to seal.
        server.stub.UpdateMetadata(pb.UpdateMetadataRequest(doc_id=7, metadata={"a": "b"}))
        server.stub.Delete(pb.DeleteRequest(doc_id=8))
        assert seal_first(FILES, data) > sealed.sealed_lsn


def test_seal_during_writes_covers_what_was_acknowledged_before(tmp_path: Path) -> None:
    with running_server(tmp_path, hnsw__dimension=DIMENSION) as server:
        for first_id in range(1, 2000, 500):
            insert(server, first_id, 500)
            seal_first(FILES, tmp_path / "data")
            rows = sum(s.row_count for s in read_manifest(FILES, tmp_path / "data").segments)
            assert rows >= first_id + 499


def test_stopped_database_is_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = open_small(tmp_path / "data")
    fill(engine, vectors(5))
    engine.close()
    command = ["create", "--data-dir", str(tmp_path / "data"), "--backup-dir", str(tmp_path / "b"), "--seal"]
    assert main(command) == 1
    assert "none is visible here. A database that was stopped needs no seal" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
    with pytest.raises(FailedPrecondition, match="No recoverable state found"):
        seal_first(FILES, tmp_path / "nowhere")


def test_program_that_would_die_of_the_signal_never_gets_it(tmp_path: Path) -> None:
    program = (
        "import sys, pykyro\n"
        "with pykyro.open(sys.argv[1], dimension=4) as db:\n"
        "    db.insert(1, [1, 0, 0, 0]); print('open', flush=True); sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "data"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(
            FailedPrecondition, match=f"process {other.pid} has .* but it is not a kyrodb_server"
        ):
            seal_first(FILES, tmp_path / "data")
    finally:
        other.communicate()
    assert other.returncode == 0


def test_server_that_cannot_seal_in_time_is_named(tmp_path: Path) -> None:
    with running_server(tmp_path, hnsw__dimension=DIMENSION) as server:
        insert(server, 1, 10)
        server.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(
                Unavailable, match=r"was asked to seal .* up to position \d+ and has reached 0 after 0\.2 s"
            ):
                seal_first(FILES, tmp_path / "data", 0.2)
        finally:
            server.process.send_signal(signal.SIGCONT)
        # The signal was not lost: it is obeyed once the process moves again.
        wait_until(lambda: read_manifest(FILES, tmp_path / "data").sealed_lsn > 0)


def test_server_that_is_still_starting_survives_being_asked(tmp_path: Path) -> None:
    server = start_server(tmp_path, {"hnsw__dimension": DIMENSION})
    try:
        # Ignored from before there is a data directory on, and caught once there is an engine to do it.
        wait_until(lambda: owner_of(tmp_path / "data") is not None or server.process.poll() is not None)
        server.process.send_signal(signal.SIGUSR1)
        server.wait_ready()
    finally:
        assert server.stop() == 0
