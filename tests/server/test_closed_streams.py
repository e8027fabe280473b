"""A server and commands that are started without some of their standard streams, or whose program closes them."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.longer import long_form
from tests.server.running import free_port

import pykyro

_STREAMS = [closed for count in (1, 2, 3) for closed in itertools.combinations((0, 1, 2), count)]
_SOME = [(0,), (1,), (2,), (0, 1, 2)]
"""Each alone, and all: for what goes the way of the embedded database, which is tried with every combination."""


def _closing(streams: tuple[int, ...], *words: str) -> list[str]:
    """A command that runs these words without these of its streams."""
    return ["/bin/sh", "-c", 'exec "$@" ' + " ".join(f"{number}>&-" for number in streams), "sh", *words]


_EMBEDDED = """
import os, sys
import pykyro

def line_on_every_stream():
    for number in (1, 2):
        try:
            os.write(number, b"a line that belongs to nobody\\n")
        except OSError:
            pass

path = sys.argv[1]
db = pykyro.open(path, dimension=4)
for doc_id in range(1, 11):
    line_on_every_stream()
    db.insert(doc_id, [doc_id, 1, 2, 3])
for number in (0, 1, 2):
    try:
        os.close(number)
    except OSError:
        pass
db.insert_many([(doc_id, [doc_id, doc_id % 7, 2, 3]) for doc_id in range(100, 1600)])
line_on_every_stream()
db.flush()
line_on_every_stream()
db.snapshot()
ours = [name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")]
assert not any(path in os.readlink(f"/proc/self/fd/{name}") for name in ours if int(name) < 3)
db.close()
"""


@pytest.mark.parametrize(
    "streams",
    [pytest.param(streams, marks=() if streams in _SOME else long_form) for streams in _STREAMS],
    ids=str,
)
def test_nothing_of_an_embedded_database_takes_the_place_of_a_stream(
    tmp_path: Path, streams: tuple[int, ...]
) -> None:
    path = str(tmp_path / "data")
    words = _closing(streams, sys.executable, "-c", _EMBEDDED, path)
    assert subprocess.run(words, capture_output=True, timeout=200).returncode == 0
    with pykyro.open(path, dimension=4) as db:
        assert db.stats().documents == 1510


@pytest.mark.parametrize("streams", _SOME, ids=str)
def test_a_server_runs_and_answers(tmp_path: Path, streams: tuple[int, ...]) -> None:
    port, http_port = free_port(), free_port()
    settings = {
        "KYRODB__SERVER__PORT": str(port),
        "KYRODB__SERVER__HTTP_PORT": str(http_port),
        "KYRODB__HNSW__DIMENSION": "4",
        "KYRODB__LOGGING__FILE": str(tmp_path / "log"),
    }
    words = [sys.executable, "-m", "pykyro.cli.kyrodb_server", "--data-dir", str(tmp_path / "data")]
    process = subprocess.Popen(_closing(streams, *words), env=os.environ | settings, cwd=tmp_path)
    try:
        client = (
            "import pykyro, sys, time\n"
            "client = pykyro.Client(f'127.0.0.1:{sys.argv[1]}')\n"
            "until = time.monotonic() + 100\n"
            "while True:\n"
            "    try:\n"
            "        client.insert(1, [1, 2, 3, 4])\n"
            "        break\n"
            "    except pykyro.Unavailable:\n"
            "        assert time.monotonic() < until\n"
            "        time.sleep(0.1)\n"
            "assert client.search([1, 2, 3, 4], k=1).hits[0].id == 1\n"
            "client.close()\n"
        )
        asked = subprocess.run(_closing(streams, sys.executable, "-c", client, str(port)), timeout=200)
        assert asked.returncode == 0, (tmp_path / "log").read_text()
        assert process.poll() is None
    finally:
        process.terminate()
        code = process.wait(100)
    assert code == 0


@pytest.mark.parametrize("streams", _SOME, ids=str)
def test_commands_do_their_work(tmp_path: Path, streams: tuple[int, ...]) -> None:
    data, backups, out = (str(tmp_path / name) for name in ("data", "backups", "out"))
    with pykyro.open(data, dimension=4) as db:
        db.insert(1, [1, 2, 3, 4])
    backup = "pykyro.cli.kyrodb_backup"
    for words in (
        (backup, "create", "--data-dir", data, "--backup-dir", backups),
        (backup, "list", "--format", "json", "--backup-dir", backups),
        ("pykyro.cli.kyrodb", "export", "--format", "jsonl", "--data-dir", data, "--out", out),
    ):
        ended = subprocess.run(_closing(streams, sys.executable, "-m", *words), timeout=200)
        assert ended.returncode == 0, words
