"""What `make demo` shows: a server, real text, real questions, a kill, and everything still there.

Starts kyrodb_server on free ports with an empty directory, loads the sample through gRPC, asks it questions, kills
the process with SIGKILL, starts it again, and asks once more.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.markup import escape
from rich.progress import track

import pykyro

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "examples" / "sample"
WORK = ROOT / ".demo"
SHOWN = (0, 40, 90, 140, 200)

console = Console(width=min(110, shutil.get_terminal_size().columns))


def vectors(name: str) -> npt.NDArray[np.float32]:
    """Unit rows of shape (n, 384)."""
    rows = np.load(SAMPLE / name, allow_pickle=False).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def passages() -> list[dict[str, Any]]:
    with gzip.open(SAMPLE / "passages.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def questions() -> list[dict[str, str]]:
    return [json.loads(line) for line in (SAMPLE / "questions.jsonl").read_text("utf-8").splitlines()]


class Server:
    """A kyrodb_server of our own on free ports."""

    def __init__(self, data: Path) -> None:
        self.port, http_port = free_ports(2)
        environment = os.environ | {
            "KYRODB__SERVER__HTTP_PORT": str(http_port),
            "KYRODB__HNSW__DIMENSION": "384",
        }
        command = [sys.executable, "-m", "pykyro.cli.kyrodb_server"]
        self._log = (WORK / "server.log").open("ab")
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), "--data-dir", str(data)],
            env=environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def client(self) -> pykyro.Client:
        """A client, once the server answers."""
        client = pykyro.Client(f"127.0.0.1:{self.port}")
        for _ in range(300):
            if self.process.poll() is not None:
                break
            try:
                client.health()
                return client
            except pykyro.Unavailable:
                time.sleep(0.1)
        raise SystemExit(f"the server did not start; its last words are in {WORK / 'server.log'}")

    def stop(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.wait()
        self._log.close()


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on; all are held until the last is found, so no two are the same."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def documents(
    texts: Iterable[dict[str, Any]], rows: npt.NDArray[np.float32]
) -> Iterator[tuple[int, npt.NDArray[np.float32], dict[str, str]]]:
    for text, row in zip(texts, rows, strict=True):
        shown = {key: text[key] for key in ("name", "kind", "module", "length")}
        yield text["id"], row, shown


def ask(client: pykyro.Client, texts: list[dict[str, Any]], asked: list[dict[str, str]]) -> list[list[int]]:
    """Put every question, show a few with their answers, and say how good and how fast it was."""
    answers, milliseconds, right = [], [], 0
    for at, (question, row) in enumerate(zip(asked, vectors("questions.f16.npy"), strict=True)):
        started = time.perf_counter()
        hits = client.search(row, k=10)
        milliseconds.append((time.perf_counter() - started) * 1000)
        answers.append([hit.id for hit in hits])
        right += question["gold"] in [hit.metadata["name"] for hit in hits]
        if at in SHOWN:
            console.print(f"\n[bold]{question['text']}[/]  [dim]{milliseconds[-1]:.1f} ms[/]")
            for hit in hits[:3]:
                summary = texts[hit.id - 1]["text"].split("\n", 1)[0]
                line = f"  {hit.score:.3f}  [green]{hit.metadata['name']}[/]  [dim]{escape(summary)}[/]"
                console.print(line, highlight=False, no_wrap=True, overflow="ellipsis")
    console.print(
        f"\n{len(asked)} questions: the expected passage among the ten answers {right} times, "
        f"median {statistics.median(milliseconds):.1f} ms a question over gRPC"
    )
    return answers


def filtered(client: pykyro.Client) -> None:
    """The same question with a condition on the metadata."""
    row = vectors("questions.f16.npy")[SHOWN[0]]
    hits = client.search(row, k=3, filter={"kind": "class", "length": {"$lt": "400"}})
    names = ", ".join(f"{hit.metadata['name']} ({hit.score:.3f})" for hit in hits)
    console.print(f"Only classes with short documentation, for the first question: {names}")


def main() -> None:
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    texts, asked = passages(), questions()
    server = Server(WORK / "data")
    try:
        with server.client() as client:
            console.print(f"kyrodb_server {pykyro.__version__} answers on port {server.port}")
            rows = vectors("passages.f16.npy")
            report = client.insert_many(
                track(documents(texts, rows), "Loading the sample", total=len(texts), console=console)
            )
            console.print(f"{report.inserted} documents acknowledged, so they are on disk")
            before = ask(client, texts, asked)
            filtered(client)
        console.print("\n[bold]kill -9[/], and start again in the same directory")
        server.stop(signal.SIGKILL)
        started = time.perf_counter()
        server = Server(WORK / "data")
        with server.client() as client:
            console.print(f"ready after {time.perf_counter() - started:.1f} s")
            kept = sum(document is not None for document in client.get_many([text["id"] for text in texts]))
            same = before == [
                [hit.id for hit in client.search(row, k=10)] for row in vectors("questions.f16.npy")
            ]
            console.print(f"{kept} of {len(texts)} documents are there; all answers the same: {same}")
    finally:
        server.stop(signal.SIGTERM)
    if kept != len(texts):
        raise SystemExit("documents are missing")
    console.print("\nStart your own: [bold].venv/bin/kyrodb_server --data-dir ./data --dimension 384[/]")


if __name__ == "__main__":
    main()
