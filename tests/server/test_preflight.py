"""A configuration is checked by what a start would meet: one line for each fault, naming its key, nothing changed."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.client.certificates import make_certificates
from tests.engine.opening import DIMENSION, fill, open_small, vectors
from tests.server.running import free_port

from pykyro.config import Settings
from pykyro.model.errors import DataDamaged
from pykyro.server.preflight import preflight


def settings_of(tmp_path: Path, **sections: dict[str, Any]) -> Settings:
    """Settings whose ports are free and whose directory does not exist yet."""
    server = {"port": free_port(), "http_port": free_port()} | sections.pop("server", {})
    persistence = {"data_dir": tmp_path / "data"} | sections.pop("persistence", {})
    given = {"server": server, "persistence": persistence, "hnsw": {"dimension": DIMENSION}} | sections
    return Settings.model_validate(given)


def state(directory: Path) -> list[tuple[str, int, int]]:
    return [(str(p), p.lstat().st_mtime_ns, p.lstat().st_size) for p in sorted(directory.rglob("*"))]


def faults(tmp_path: Path, **sections: dict[str, Any]) -> list[str]:
    """What is found, and that looking has changed nothing."""
    settings = settings_of(tmp_path, **sections)
    before = state(tmp_path)
    found, _ = preflight(settings)
    assert state(tmp_path) == before
    return found


def a_file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("x")
    return path


def test_a_first_start_and_a_later_one(tmp_path: Path) -> None:
    assert preflight(settings_of(tmp_path)) == ([], [])
    engine = open_small(tmp_path / "data")
    fill(engine, vectors(3))
    engine.close()
    assert faults(tmp_path) == []


def test_a_directory_that_is_in_use_is_a_note(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    found, notes = preflight(settings_of(tmp_path))
    engine.close()
    assert (found, notes) == (
        [],
        [f"persistence.data_dir = {tmp_path}/data: in use by process {os.getpid()}"],
    )


def dangling(tmp_path: Path) -> Path:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "gone")
    return link


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (a_file, "is not a directory"),
        (lambda tmp_path: a_file(tmp_path) / "below", "file is not a directory"),
        (lambda tmp_path: a_file(tmp_path) / "below" / "it", "file is not a directory"),
        (dangling, "is a symbolic link to"),
        (lambda tmp_path: tmp_path / ("x" * 300), "File name too long"),
        (lambda tmp_path: Path("/proc/kyrodb"), "/proc is on a file system that cannot store a database"),
    ],
)
def test_directories_that_cannot_be(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    place = make(tmp_path)
    for section, key in (("persistence", "data_dir"), ("backup", "dir")):
        more = {"interval_secs": 60} if section == "backup" else {}
        (fault,) = faults(tmp_path, **{section: {key: str(place), **more}})
        assert fault.startswith(f"{section}.{key} = {place}: ")
        assert words in fault


def test_files_that_keep_a_start_from_succeeding(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    fill(engine, vectors(3))
    engine.close()
    (log,) = (tmp_path / "data").glob("wal_*.wal")
    sound = log.read_bytes()
    log.write_bytes(sound[:20])
    (fault,) = faults(tmp_path)
    assert f"{log.name} has 20 bytes, expected at least {len(sound)}" in fault
    log.unlink()
    os.mkfifo(log)
    (fault,) = faults(tmp_path)
    assert f"{log.name} is missing, or no file" in fault
    log.unlink()
    log.write_bytes(sound)
    (tmp_path / "data" / "LOCK").unlink()
    (tmp_path / "data" / "LOCK").mkdir()
    (fault,) = faults(tmp_path)
    assert "LOCK is not a lock file of a database" in fault


def test_another_dimension_and_a_lost_manifest(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    fill(engine, vectors(3))
    engine.close()
    (fault,) = faults(tmp_path, hnsw={"dimension": 3})
    assert fault.startswith(
        f"hnsw.dimension = 3, hnsw.distance = cosine: {tmp_path}/data holds vectors of dimension 8"
    )
    (fault,) = faults(tmp_path, persistence={"enable_recovery": False})
    assert fault.startswith("persistence.enable_recovery = false")
    (tmp_path / "data" / "MANIFEST").unlink()
    (fault,) = faults(tmp_path)
    assert "MANIFEST is missing, but there is data" in fault


@pytest.mark.skipif(
    not os.access("/proc", os.W_OK), reason="only the superuser may, as it seems, write to /proc"
)
@pytest.mark.parametrize("place", [Path("/proc"), Path("/proc/kyrodb"), Path("/sys/kyrodb/data")])
def test_places_where_even_the_superuser_can_make_nothing(tmp_path: Path, place: Path) -> None:
    for section, key in (("persistence", "data_dir"), ("backup", "dir")):
        more = {"interval_secs": 60} if section == "backup" else {}
        (fault,) = faults(tmp_path, **{section: {key: str(place), **more}})
        assert fault.startswith(f"{section}.{key} = {place}: ")
        assert "is on a file system that cannot store a database" in fault


@pytest.mark.parametrize(
    ("pattern", "harm", "words"),
    [
        ("segment_*.rows", Path.unlink, "is missing"),
        ("segment_*.rows", lambda path: os.truncate(path, 100), "has 100 bytes, expected"),
        ("wal_*.wal", Path.unlink, "is missing, or no file (positions from"),
    ],
)
def test_files_without_which_no_start_is(
    tmp_path: Path, pattern: str, harm: Callable[[Path], object], words: str
) -> None:
    engine = open_small(tmp_path / "data")
    fill(engine, vectors(300))
    engine.flush()
    fill(engine, vectors(3), first_id=1000)
    engine.close()
    assert faults(tmp_path) == []
    harm(sorted((tmp_path / "data").glob(pattern))[-1])
    (fault,) = faults(tmp_path)
    assert fault.startswith(f"persistence.data_dir = {tmp_path}/data: ")
    assert words in fault
    with pytest.raises(DataDamaged):
        open_small(tmp_path / "data")


def test_a_key_file_that_is_missing_open_or_no_key_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    auth = {"enabled": True, "api_keys_file": path}
    assert faults(tmp_path, auth=auth) == [f"auth.api_keys_file: {path}: No such file or directory"]
    path.write_text("nonsense: [")
    path.chmod(0o644)
    (fault,) = faults(tmp_path, auth=auth)
    assert "chmod 0600" in fault
    path.chmod(0o600)
    (fault,) = faults(tmp_path, auth=auth)
    assert fault.startswith(f"auth.api_keys_file: {path}")


def test_certificates(tmp_path: Path) -> None:
    good = make_certificates(tmp_path)
    tls = {"enabled": True, "cert_path": good.server, "key_path": good.server_key, "ca_cert_path": good.ca}
    assert faults(tmp_path, server={"tls": tls}) == []
    gone = {"cert_path": tmp_path / "gone.pem", "key_path": tmp_path / "gone.key"}
    assert [fault.split(": ")[0] for fault in faults(tmp_path, server={"tls": tls | gone})] == [
        "server.tls.cert_path",
        "server.tls.key_path",
    ]
    (fault,) = faults(tmp_path, server={"tls": tls | {"key_path": good.client_key}})
    assert "are not a certificate and its key" in fault
    (fault,) = faults(tmp_path, server={"tls": tls | {"ca_cert_path": good.server_key}})
    assert fault.startswith("server.tls.ca_cert_path")


def fifo(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda tmp_path: tmp_path, "is a directory"),
        (lambda tmp_path: a_file(tmp_path) / "log", "Not a directory"),
        (fifo, "is not a file to which lines can be appended"),
    ],
)
def test_log_files_that_cannot_be(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    path = make(tmp_path)
    (fault,) = faults(tmp_path, logging={"file": path})
    assert fault.startswith(f"logging.file = {path}: ")
    assert words in fault


def test_log_files_that_can_be(tmp_path: Path) -> None:
    for path in (tmp_path / "a" / "b" / "log", a_file(tmp_path), Path("/dev/stderr").resolve()):
        assert faults(tmp_path, logging={"file": path}) == []


def test_a_port_that_is_taken_is_a_note_and_an_address_of_another_machine_a_fault(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        found, notes = preflight(settings_of(tmp_path, server={"port": port}))
    assert (found, notes) == ([], [f"server.port: 127.0.0.1:{port}: Address already in use"])
    found = faults(tmp_path, server={"host": "192.0.2.1", "http_host": "127.0.0.1"})
    assert [fault.split(":")[0] for fault in found] == ["server.port"]


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    tls = {"enabled": True, "cert_path": "gone.pem", "key_path": "gone.key"}
    found = faults(
        tmp_path,
        server={"tls": tls},
        auth={"enabled": True, "api_keys_file": "gone.yaml"},
        persistence={"data_dir": a_file(tmp_path)},
        logging={"file": tmp_path},
    )
    assert len(found) == 5
