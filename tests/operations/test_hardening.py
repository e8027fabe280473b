"""What the systemd unit forbids, the server does not need: system calls, and memory that becomes executable."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.operations.observed import DIMENSION, found
from tests.patience import wait_until
from tests.server.running import RunningServer, running_server

from pykyro.proto import kyrodb_pb2 as pb

UNIT = Path(__file__).resolve().parents[2] / "deploy" / "systemd" / "kyrodb.service"
DENY = """
import ctypes, os, sys
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def work(server: RunningServer) -> None:
    """Something of everything: write, build a graph, search, snapshot, reload."""
    documents = (pb.InsertRequest(doc_id=at, embedding=[1.0, at, 0.5, 2.0]) for at in range(1, 1201))
    assert server.stub.BulkInsert(documents).success
    assert server.stub.FlushHotTier(pb.FlushRequest(force=True)).documents_flushed == 1200
    assert len(found(server)) == 1000
    assert server.stub.CreateSnapshot(pb.SnapshotRequest()).success
    server.process.send_signal(signal.SIGHUP)
    assert server.http("/metrics").status_code == 200


def test_memory_that_is_written_need_not_be_executable(tmp_path: Path) -> None:
    """As MemoryDenyWriteExecute= has it, where the kernel knows how; child processes inherit it."""
    with running_server(tmp_path, (), (sys.executable, "-c", DENY), hnsw__dimension=DIMENSION) as server:
        work(server)


def members(name: str, seen: set[str]) -> set[str]:
    """The system calls of a set of systemd's, with those of the sets in it."""
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True
    ).stdout
    words = set(re.findall(r"^\s+(@?[\w-]+)$", listed, flags=re.MULTILINE)) - seen
    seen |= words
    return {word for word in words if not word.startswith("@")}.union(
        *(members(word, seen) for word in sorted(words) if word.startswith("@"))
    )


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None or shutil.which("strace") is None,
    reason="needs systemd-analyze and strace",
)
def test_every_system_call_of_the_server_is_allowed(tmp_path: Path) -> None:
    summary = tmp_path / "calls"
    with running_server(
        tmp_path, (), ("strace", "-D", "-f", "-c", "-o", str(summary)), hnsw__dimension=DIMENSION
    ) as server:
        work(server)
    wait_until(lambda: "total" in summary.read_text(), "strace writes its summary")
    made = set(re.findall(r"(\w+)$", summary.read_text(), flags=re.MULTILINE)) - {"syscall", "total"}
    assert {"fdatasync", "sendmsg", "clone3"} & made
    allowed: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.+)$", UNIT.read_text("utf-8"), flags=re.MULTILINE):
        named = set().union(*(members(name.lstrip("~"), set()) for name in line.split()))
        allowed = allowed - named if line.startswith("~") else allowed | named
    assert made - allowed == set()
