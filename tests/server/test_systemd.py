"""What the server tells systemd, heard on a socket of the kind systemd opens."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.patience import PATIENCE_S
from tests.server.running import start_server

from pykyro.server import systemd


class Supervisor:
    """The socket a service manager listens on."""

    def __init__(self, path: str) -> None:
        self.environment = path.replace("\0", "@")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.settimeout(PATIENCE_S)

    def hears(self) -> list[str]:
        """The lines of the next message."""
        return self._socket.recv(4096).decode().split("\n")

    def waits_for(self, line: str) -> list[str]:
        """The lines of the next message that holds `line`."""
        while line not in (lines := self.hears()):
            pass
        return lines

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def supervised(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Supervisor]]:
    with contextlib.ExitStack() as stack:

        def listen(path: str) -> Supervisor:
            supervisor = Supervisor(path)
            stack.callback(supervisor.close)
            monkeypatch.setenv("NOTIFY_SOCKET", supervisor.environment)
            return supervisor

        yield listen


def test_start_reload_and_stop_are_told(
    tmp_path: Path, supervised: Callable[[str], Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = supervised(str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    server = start_server(tmp_path, {"hnsw__dimension": 4})
    try:
        assert supervisor.waits_for("STATUS=recovering the database")
        ready = supervisor.waits_for("READY=1")
        assert ready == ["READY=1", f"STATUS=serving gRPC on port {server.port}"]
        # Whoever starts at READY=1 finds the server there.
        assert server.http("/ready").status_code == 200
        supervisor.waits_for("WATCHDOG=1")
        server.process.send_signal(signal.SIGHUP)
        reloading = next(lines for lines in iter(supervisor.hears, None) if lines != ["WATCHDOG=1"])
        assert reloading[0] == "RELOADING=1"
        assert int(reloading[1].removeprefix("MONOTONIC_USEC=")) > 0
        assert supervisor.waits_for("READY=1")[1] == "STATUS=configuration reloaded"
        server.process.send_signal(signal.SIGTERM)
        assert supervisor.waits_for("STOPPING=1")
    finally:
        assert server.stop() == 0, server.log


def test_an_abstract_address_and_a_status_of_many_lines(supervised: Callable[[str], Supervisor]) -> None:
    supervisor = supervised(f"\0kyrodb-test-{os.getpid()}")
    systemd.notify_ready("refused\nMAINPID=1")
    assert supervisor.hears() == ["READY=1", "STATUS=refused; MAINPID=1"]


def test_nobody_listening_is_no_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    systemd.notify_ready("x")
    monkeypatch.delenv("NOTIFY_SOCKET")
    systemd.notify_ready("x")


def test_no_watchdog_is_answered_where_none_was_set(
    supervised: Callable[[str], Supervisor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    supervisor = supervised(str(tmp_path / "notify"))
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    systemd.notify_alive()
    systemd.notify("STATUS=first")
    assert supervisor.hears() == ["STATUS=first"]
