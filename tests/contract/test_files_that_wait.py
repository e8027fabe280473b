"""A FIFO, a device, a directory in the place of every file the configuration names: refused with a reason, at the
start and at a reload, and neither waits."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from tests.contract.corner import DIMENSION
from tests.contract.test_tls import CA, issue
from tests.patience import wait_until
from tests.server.running import RunningServer, start_server
from tests.tenancy.keys import entry, write_keys

from pykyro.config.files import read_file
from pykyro.model.errors import ConfigError

Put = Callable[[Path], None]


def _replace(path: Path, put: Put) -> None:
    path.unlink(missing_ok=True)
    put(path)


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


KINDS: dict[str, tuple[Put, str]] = {
    "FIFO": (os.mkfifo, "is a FIFO, not a regular file"),
    "endless device": (_endless, "is a device, not a regular file"),
    "directory": (Path.mkdir, "is a directory, not a regular file"),
    "socket": (lambda path: os.mknod(path, 0o600 | stat.S_IFSOCK), "is a socket, not a regular file"),
}
NAMES = ["config.yaml", "keys.yaml", "server.pem", "server.key", "ca.pem", "kyrodb.log"]


class Files:
    """All that a configuration can name, good."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        issue(directory, CA, "localhost")
        write_keys(directory / "keys.yaml", entry("acme"))
        self.kept = {name: (directory / name).read_bytes() for name in NAMES if (directory / name).exists()}
        tls = {"enabled": True} | {
            key: str(directory / name)
            for key, name in (
                ("cert_path", "server.pem"),
                ("key_path", "server.key"),
                ("ca_cert_path", "ca.pem"),
            )
        }
        config = {
            "server": {"tls": tls},
            "auth": {"enabled": True, "api_keys_file": str(directory / "keys.yaml")},
            "logging": {"file": str(directory / "kyrodb.log")},
            "hnsw": {"dimension": DIMENSION},
        }
        self.kept["config.yaml"] = yaml.safe_dump(config).encode()
        for name in self.kept:
            self.mend(name)

    def mend(self, name: str) -> None:
        path = self.directory / name
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        if name in self.kept:
            path.write_bytes(self.kept[name])
            path.chmod(0o600)

    @property
    def log(self) -> str:
        path = self.directory / "kyrodb.log"
        return path.read_text() if path.is_file() else ""

    def start(self, tmp_path: Path) -> RunningServer:
        return start_server(tmp_path, {}, ("--config", str(self.directory / "config.yaml")))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "files")


@pytest.fixture
def server(files: Files, tmp_path: Path) -> Iterator[RunningServer]:
    running = files.start(tmp_path)
    try:
        running.wait_ready()
        yield running
    finally:
        running.process.kill()
        running.process.wait()


# What would wait or never end, in the place of each; the others go the same way, as the test of reloads shows of all.
@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in NAMES for kind in ("FIFO", "endless device")]
    + [("config.yaml", "directory"), ("kyrodb.log", "directory"), ("keys.yaml", "socket")],
)
def test_a_start_is_refused_with_the_reason(tmp_path: Path, files: Files, name: str, kind: str) -> None:
    put, says = KINDS[kind]
    _replace(files.directory / name, put)
    server = files.start(tmp_path)
    try:
        assert server.process.wait(120) == 1
    finally:
        server.process.kill()
        server.process.wait()
    assert str(files.directory / name) in server.log
    assert says in server.log or "is not a file" in server.log
    assert "Traceback" not in server.log


def test_reloads_are_refused_one_after_the_other_and_the_next_good_one_counts(
    server: RunningServer, files: Files
) -> None:
    for name in NAMES:
        for kind, (put, says) in KINDS.items():
            refused = files.log.count("configuration reload refused")
            aside = files.directory / "aside"
            if name == "kyrodb.log":
                (files.directory / name).rename(aside)
            _replace(files.directory / name, put)
            server.process.send_signal(signal.SIGHUP)
            log = aside if name == "kyrodb.log" else files.directory / "kyrodb.log"
            wait_until(lambda log=log, n=refused: log.read_text().count("configuration reload refused") > n)  # type: ignore[misc]
            health = server.http_json("/health")
            assert health["status"] == "degraded", (name, kind)
            assert "configuration reload refused" in health["reason"]
            assert says in health["reason"] or name == "keys.yaml"
            files.mend(name)
            if name == "kyrodb.log":
                aside.rename(files.directory / name)
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: server.http_json("/health")["status"] == "healthy")
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(120) == 0


def test_a_bad_reload_holds_no_stop_up(server: RunningServer, files: Files) -> None:
    _replace(files.directory / "kyrodb.log", os.mkfifo)
    for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
        server.process.send_signal(number)
    assert server.process.wait(120) == 0


def test_an_endless_configuration_is_bounded(tmp_path: Path) -> None:
    config = tmp_path / "large.yaml"
    with config.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ConfigError, match="is larger than"):
        read_file(config)
