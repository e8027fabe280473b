"""kyrodb doctor says what is wrong in words, and what to do, and changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.engine.opening import DIMENSION, fill, open_small, vectors
from tests.operations.faults import limit_file_size
from tests.operations.observed import insert, try_insert
from tests.server.running import RunningServer, free_port, running_server

from pykyro.cli.kyrodb import main
from pykyro.model.requests import Delete

Examine = Callable[..., dict[str, list[dict[str, str]]]]


@pytest.fixture
def examine(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Examine:
    """The findings by severity; the exit code follows from them."""
    for name in list(os.environ):
        if name.startswith("KYRODB"):
            monkeypatch.delenv(name)

    def run(*arguments: object) -> dict[str, list[dict[str, str]]]:
        code = main(["doctor", "--format", "json", *map(str, arguments)])
        found: dict[str, list[dict[str, str]]] = {"ok": [], "note": [], "wrong": []}
        for finding in json.loads(capsys.readouterr().out):
            found[finding["severity"]].append(finding)
        assert code == int(bool(found["wrong"]))
        return found

    return run


def texts(findings: list[dict[str, str]]) -> str:
    return "\n".join(f"{finding['topic']}: {finding['text']} -> {finding['advice']}" for finding in findings)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A database with a segment and some log behind it, closed."""
    directory = tmp_path / "data"
    engine = open_small(directory)
    fill(engine, vectors(50))
    engine.flush()
    fill(engine, vectors(5, seed=1), first_id=100)
    engine.close()
    return directory


def write_config(path: Path, **sections: Any) -> Path:
    """A configuration whose ports are free."""
    server = {"port": free_port(), "http_port": free_port()} | sections.pop("server", {})
    path.write_text(json.dumps({"server": server, "hnsw": {"dimension": DIMENSION}} | sections))
    return path


def test_a_sound_installation_that_does_not_run(tmp_path: Path, data: Path, examine: Examine) -> None:
    config = write_config(tmp_path / "config.json", persistence={"data_dir": str(data)})
    found = examine("--config", config)
    assert found["wrong"] == []
    assert "55 documents up to position" in texts(found["ok"])
    assert "5 of them in the log" in texts(found["ok"])
    assert "(gRPC) and" in texts(found["ok"])
    assert "no server runs on this data directory" in texts(found["note"])


def test_it_changes_nothing(tmp_path: Path, data: Path, examine: Examine) -> None:
    (data / "LOCK").unlink()
    empty = tmp_path / "empty"
    empty.mkdir()

    def state() -> list[tuple[str, int, int]]:
        files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
        return [(str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files]

    before = state()
    for directory in (data, empty, tmp_path / "missing"):
        examine("--data-dir", directory, "--deep")
    assert state() == before


def test_every_byte_is_read_only_when_asked_for(data: Path, examine: Examine) -> None:
    rows = next(data.glob("segment_*.rows"))
    content = bytearray(rows.read_bytes())
    content[70] ^= 1
    rows.write_bytes(content)
    assert examine("--data-dir", data)["wrong"] == []
    found = examine("--data-dir", data, "--deep")
    assert f"{rows} at byte" in texts(found["wrong"])
    assert "kyrodb_backup restore" in texts(found["wrong"])


@pytest.mark.parametrize(
    ("pattern", "harm", "words"),
    [
        ("segment_*.rows", Path.unlink, "is missing"),
        ("segment_*.rows", lambda path: os.truncate(path, 100), "has 100 bytes, expected"),
        ("MANIFEST", Path.unlink, "MANIFEST is missing, but there is data"),
        ("MANIFEST", lambda path: path.write_text("x"), "MANIFEST"),
        ("MANIFEST", lambda path: (path.unlink(), path.mkdir()), "MANIFEST is a directory"),
    ],
)
def test_files_that_are_not_as_they_should_be(
    data: Path, examine: Examine, pattern: str, harm: Callable[[Path], object], words: str
) -> None:
    harm(next(data.glob(pattern)))
    found = examine("--data-dir", data)
    assert words in texts(found["wrong"])
    assert "disk: " in texts(found["ok"] + found["note"])  # what comes after it is examined all the same


def test_a_directory_that_does_not_exist(tmp_path: Path, examine: Examine) -> None:
    found = examine("--data-dir", tmp_path / "misspelt")
    assert f"data directory: {tmp_path}/misspelt does not exist" in texts(found["wrong"])
    config = write_config(tmp_path / "config.json", persistence={"data_dir": str(tmp_path / "misspelt")})
    assert "misspelt does not exist" in texts(examine("--config", config)["wrong"])


@pytest.mark.skipif(
    not os.access("/proc", os.W_OK), reason="only the superuser may, as it seems, write to /proc"
)
def test_no_rights_help_where_there_can_be_no_files(examine: Examine) -> None:
    found = texts(examine("--data-dir", "/proc")["wrong"])
    assert (
        "/proc: is on a file system that cannot store a database -> name another "
        "persistence.data_dir" in found
    )
    assert "chmod" not in found


def test_documents_that_only_the_log_holds_are_counted(tmp_path: Path, examine: Examine) -> None:
    engine = open_small(tmp_path / "data")
    fill(engine, vectors(60))
    engine.write(Delete(1))
    found = examine("--data-dir", tmp_path / "data")  # also while somebody has it open
    assert "59 documents up to position 61, 59 of them in the log" in texts(found["ok"])
    hnsw = {"dimension": DIMENSION}
    config = write_config(
        tmp_path / "config.json", persistence={"data_dir": str(tmp_path / "data")}, hnsw=hnsw
    )
    assert "memory: 59 documents need" in texts(examine("-c", config)["ok"])
    engine.flush()
    fill(engine, vectors(2), first_id=2)
    engine.close()
    assert "59 documents up to position" in texts(examine("--data-dir", tmp_path / "data", "--deep")["ok"])


def test_more_documents_than_the_bound(tmp_path: Path, data: Path, examine: Examine) -> None:
    hnsw = {"dimension": DIMENSION, "max_elements": 60}
    config = write_config(tmp_path / "config.json", persistence={"data_dir": str(data)}, hnsw=hnsw)
    found = examine("-c", config)
    assert found["wrong"] == []
    assert "nearly full: 55 documents of hnsw.max_elements = 60" in texts(found["note"])
    write_config(config, persistence={"data_dir": str(data)}, hnsw=hnsw | {"max_elements": 50})
    assert "the database is full: 55 documents, hnsw.max_elements = 50" in texts(
        examine("-c", config)["wrong"]
    )


def test_things_that_are_no_files_are_named_and_left_alone(data: Path, examine: Examine) -> None:
    (data / "old").symlink_to("gone")
    (data / "here").symlink_to(data / "MANIFEST")
    (data / "notes.txt").write_text("x")
    (data / "folder").mkdir()
    os.mkfifo(data / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(data / "socket"))
        found = examine("--data-dir", data)
    assert found["wrong"] == []
    notes = texts(found["note"])
    for words in (
        "folder is a directory, and not a file of the database",
        "old is a symbolic link to gone, which does not exist",
        "pipe is a named pipe",
        "socket is a socket",
    ):
        assert words in notes
    assert "here" not in notes
    assert "notes.txt" not in notes
    assert "chown" not in json.dumps(found)


@pytest.mark.parametrize("name", ["LOCK", "MANIFEST"])
def test_a_pipe_in_the_place_of_a_file_is_named_and_not_waited_for(
    data: Path, examine: Examine, name: str
) -> None:
    (data / name).unlink()
    os.mkfifo(data / name)
    found = examine("--data-dir", data)
    assert f"{name} is a named pipe, where a file of the database should be" in texts(found["wrong"])


def test_a_link_to_nowhere_in_the_place_of_a_file(data: Path, examine: Examine) -> None:
    rows = next(data.glob("segment_*.rows"))
    rows.unlink()
    rows.symlink_to("/gone/rows")
    found = texts(examine("--data-dir", data)["wrong"])
    assert (
        f"{rows.name} is a symbolic link to /gone/rows, which does not exist, where a file of the database"
        in found
    )
    assert "chown" not in found


def test_a_configuration_that_cannot_work(tmp_path: Path, data: Path, examine: Examine) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"server": {"prot": 1}, "hnsw": {"m": 1}}')
    found = examine("--config", config, "--data-dir", data)
    assert "did you mean 'server.port'?" in texts(found["wrong"])
    assert "hnsw.m = 1" in texts(found["wrong"])
    assert "55 documents" in texts(found["ok"])


def test_a_directory_of_other_settings(tmp_path: Path, data: Path, examine: Examine) -> None:
    config = write_config(
        tmp_path / "config.json", persistence={"data_dir": str(data)}, hnsw={"dimension": 3}
    )
    assert f"hnsw.dimension: {DIMENSION} and hnsw.distance: cosine" in texts(examine("-c", config)["wrong"])


def test_a_port_that_is_taken(tmp_path: Path, examine: Examine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        persistence = {"data_dir": str(tmp_path / "data")}
        config = write_config(tmp_path / "config.json", server={"port": port}, persistence=persistence)
        assert f"server.port: 127.0.0.1:{port}: Address already in use" in texts(
            examine("-c", config)["wrong"]
        )


def test_secrets_that_cannot_be_used(tmp_path: Path, examine: Examine) -> None:
    config = write_config(
        tmp_path / "config.json",
        server={"tls": {"enabled": True, "cert_path": "gone.pem", "key_path": "gone.key"}},
        auth={"enabled": True, "api_keys_file": str(tmp_path / "gone.yaml")},
        persistence={"data_dir": str(tmp_path / "data")},
    )
    found = texts(examine("-c", config)["wrong"])
    assert "server.tls.cert_path: gone.pem: No such file" in found
    assert "gone.yaml" in found


def test_a_limit_that_would_stop_the_log(tmp_path: Path) -> None:
    # In a program of its own, not between fork and exec: gRPC's threads of this process do not survive a fork.
    limited = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)); "
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    command = ["-m", "pykyro.cli.kyrodb", "doctor", "--data-dir", str(tmp_path)]
    ended = subprocess.run(
        [sys.executable, "-c", limited, *command], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert (
        "WRONG  limits: a server started from this shell may not write files beyond 1048576" in ended.stdout
    )
    assert "→ ulimit -f unlimited" in ended.stdout
    assert ended.stdout.endswith("1 to correct.\n")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path, hnsw__dimension=4, backup__dir=tmp_path / "backups") as server:
        insert(server, 1)
        yield server


def test_a_server_that_runs(tmp_path: Path, server: RunningServer, examine: Examine) -> None:
    config = write_config(
        tmp_path / "config.json",
        server={"port": server.port, "http_port": server.http_port},
        persistence={"data_dir": str(tmp_path / "data")},
        hnsw={"dimension": 4},
    )
    found = examine("-c", config, "--deep")
    assert found["wrong"] == []
    assert "server: /health is 200, healthy" in texts(found["ok"])
    assert f"process {server.process.pid} may open" in texts(found["ok"])
    assert "has found no backup" in texts(found["note"])
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / "backup_20250601T120000Z.tar").touch()
    assert "hours old" in texts(examine("-c", config)["wrong"])
    shutil.rmtree(tmp_path / "backups")

    other = write_config(
        tmp_path / "other.json", persistence={"data_dir": str(tmp_path / "data")}, hnsw={"dimension": 4}
    )
    assert f"process {server.process.pid} has the data directory open, but no server answers" in texts(
        examine("-c", other)["wrong"]
    )

    limit_file_size(server.process.pid, 0)
    assert try_insert(server, 2).code == "UNAVAILABLE"
    found = examine("-c", config)
    assert "/health is 503, unhealthy: " in texts(found["wrong"])
    assert "the server accepts writes again within a minute" in texts(found["wrong"])
    assert f"process {server.process.pid} may not write files beyond 0 bytes" in texts(found["wrong"])
    assert "the server answers reads and refuses writes" in texts(found["note"])
