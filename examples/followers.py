"""What `make demo-followers` shows: a leader, two followers, a kill, a promote, and the same answers.

Starts three kyrodb_server processes on free ports, an archive in a directory between them, loads the sample into the
leader, asks all three, kills the leader with SIGKILL, promotes a follower, and asks the two that are left.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

import pykyro

ROOT: Final = Path(__file__).resolve().parent.parent
SAMPLE: Final = ROOT / "examples" / "sample"
WORK: Final = ROOT / ".demo-followers"
ARCHIVE: Final = f"file://{WORK}/archive"
START_S: Final = 60.0
BIN: Final = Path(sys.executable).parent


class Server:
    """A kyrodb_server of our own on free ports, and a client of it."""

    def __init__(self, name: str, *arguments: str, **settings: str) -> None:
        self.name = name
        self.data = WORK / name
        ports = []
        with contextlib.ExitStack() as stack:
            for _ in range(2):
                probe = stack.enter_context(socket.socket())
                probe.bind(("127.0.0.1", 0))
                ports.append(probe.getsockname()[1])
        self.http_port = ports[1]
        environment = os.environ | {"KYRODB__SERVER__HTTP_PORT": str(ports[1])} | settings
        command = [sys.executable, "-m", "pykyro.cli.kyrodb_server", "--port", str(ports[0])]
        self._log = (WORK / f"{name}.log").open("ab")
        self.process = subprocess.Popen(
            [*command, "--data-dir", str(self.data), *arguments],
            env=environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.client = pykyro.Client(f"127.0.0.1:{ports[0]}")

    def status(self) -> dict[str, object]:
        """What /ready says; {} while nobody answers."""
        port = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=START_S)
        try:
            port.request("GET", "/ready")
            answer: dict[str, object] = json.loads(port.getresponse().read())
        except (OSError, http.client.HTTPException):
            return {}
        finally:
            port.close()
        return answer

    def wait_for(self, status: str) -> None:
        until_s = time.monotonic() + START_S
        while self.status().get("status") != status:
            if self.process.poll() is not None or time.monotonic() > until_s:
                raise SystemExit(f"{self.name} did not become {status}: see {WORK / self.name}.log")
            time.sleep(0.05)

    def stop(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        self._log.close()


@contextlib.contextmanager
def started(name: str, *arguments: str, **settings: str) -> Iterator[Server]:
    server = Server(name, *arguments, **settings)
    try:
        yield server
    finally:
        server.stop()


def main() -> None:
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    rows = np.load(SAMPLE / "passages.f16.npy", allow_pickle=False).astype(np.float32)
    question = np.load(SAMPLE / "questions.f16.npy", allow_pickle=False).astype(np.float32)[0]
    leads = {"KYRODB__HNSW__DIMENSION": "384", "KYRODB__ARCHIVE__URL": ARCHIVE}

    def nearest(server: Server) -> list[object]:
        return [hit.id for hit in server.client.search(question, k=5)]

    with started("leader", **leads) as leader:
        leader.wait_for("ready")
        report = leader.client.insert_many((at + 1, row) for at, row in enumerate(rows))
        print(f"leader: {report.inserted} documents, position {leader.client.position}, archive {ARCHIVE}")
        with started("one", "--follow", ARCHIVE) as one, started("two", "--follow", ARCHIVE) as two:
            for follower in (one, two):
                follower.wait_for("follower")
                count = follower.client.count(min_position=leader.client.position, max_wait_s=60)
                print(f"{follower.name}: {count} documents, {follower.status()}")
            asked = [nearest(server) for server in (leader, one, two)]
            print(f"the five nearest, of all three: {asked[0]}; the same: {asked[0] == asked[1] == asked[2]}")

            leader.process.send_signal(signal.SIGKILL)
            leader.process.wait()
            print("the leader is killed")
            try:
                one.client.insert(1 << 40, question)
            except pykyro.FailedPrecondition as refusal:
                print(f"one: {refusal}")
            promote = [str(BIN / "kyrodb"), "promote", "--data-dir", str(one.data)]
            print(subprocess.run(promote, check=True, capture_output=True, text=True).stdout.strip())
            one.wait_for("ready")
            one.client.insert(1 << 40, question)
            count = two.client.count(min_position=one.client.position, max_wait_s=60)
            asked = [nearest(server) for server in (one, two)]
            print(f"one leads, two follows it: {count} documents; the five nearest of both: {asked[0]}")
            if asked[0] != asked[1]:
                raise SystemExit("the answers differ")
    shutil.rmtree(WORK)


if __name__ == "__main__":
    main()
