"""The programs in examples/ do what they say, as their own processes."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.server.running import RunningServer

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_embedded(tmp_path: Path) -> None:
    for arguments in ([], [str(tmp_path / "words")]):
        done = run("embedded.py", *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert lines[0] == "stored 10 words"
        assert lines[1].startswith("like bananas: banana")
        assert lines[3] == "short and like pearl: pear plum"
        assert lines[4:] == ["eaten: 1", "9 words are still there"]
    assert (tmp_path / "words").is_dir()


def test_client(server: RunningServer) -> None:
    done = run("client.py", f"127.0.0.1:{server.port}", "a-key-nobody-asks-for")
    assert (done.returncode, done.stderr) == (0, "")
    assert "stored 100, refused 0" in done.stdout
    assert "nearest to document 42 on its shelves: 42 " in done.stdout
    assert "refused: vector must contain only finite values" in done.stdout
    assert "removed: 100" in done.stdout


def test_postgres(tmp_path: Path) -> None:
    done = run("postgres.py", str(tmp_path / "work"))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "searches meanwhile: " in lines[2]
    assert lines[2].endswith("with another answer than before: 0")
    assert "PostgreSQL is back; the nearest is the new document: True" in lines
    assert lines[-1] == "tables left in PostgreSQL: 0"
    assert [
        line.partition(":")[0] for line in lines if line.endswith("the same answers, ids and scores")
    ] == [
        "after the move",
        "after the kill",
        "after the way back",
    ]


def test_async_bulk(server: RunningServer) -> None:
    done = run("async_bulk.py", f"127.0.0.1:{server.port}", "1500")
    assert (done.returncode, done.stderr) == (0, "")
    assert "stored 1500 documents" in done.stdout
    assert "of 200 documents asked for, 200 found" in done.stdout
    assert "20 calls, 100 hits" in done.stdout
    assert "removed: 1500" in done.stdout


def test_without_a_server() -> None:
    # Side by side: each waits for a server as long as its client may.
    with ThreadPoolExecutor() as both:
        for done in both.map(lambda name: run(name, "127.0.0.1:1"), ("client.py", "async_bulk.py")):
            assert done.returncode == 1
            assert done.stderr.startswith("no server: ")
            assert "Traceback" not in done.stderr
