"""Logs: one event a line whatever is in it, two formats, rotation, reopening, and losses that are counted."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykyro.config.settings.observability import LoggingSettings
from pykyro.model.errors import ConfigError
from pykyro.telemetry import log_queue, logs

log = logging.getLogger("kyrodb.test")
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def _root_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, hook = root.handlers[:], root.level, threading.excepthook
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:], threading.excepthook = handlers, hook
    root.setLevel(level)
    logging.captureWarnings(False)


def settings(path: Path, **changed: Any) -> LoggingSettings:
    return LoggingSettings(file=path, **changed)


def lines(path: Path) -> list[str]:
    """Lines as any program may split them."""
    logs.flush(PATIENCE_S)
    return path.read_text("utf-8").splitlines()


@given(text=st.text(st.characters()), value=st.text(st.characters()))
@pytest.mark.parametrize("format", ["text", "json"])
def test_one_event_is_one_line_whatever_the_input(
    format: str, tmp_path_factory: pytest.TempPathFactory, text: str, value: str
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    logs.configure(settings(path, format=format))
    log.info("got %s", text, extra=logs.fields(value=value))
    (line,) = lines(path)
    assert line.isprintable() or format == "text"
    if format == "json":
        entry = json.loads(line)
        assert (entry["message"], entry["value"]) == (f"got {text}", value)
        assert (entry["level"], entry["target"]) == ("INFO", "kyrodb.test")


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_traceback_stays_in_the_line_of_its_event(format: str, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "log"
    logs.configure(settings(path, format=format))
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        log.exception("failed")
    (line,) = lines(path)
    assert "ValueError: first\\nsecond" in line
    if format == "json":
        assert "Traceback" in json.loads(line)["exception"]


def test_text_lines_hold_time_level_source_message_and_fields(tmp_path: Path) -> None:
    logs.configure(settings(tmp_path / "log", level="warn"))
    log.info("not this")
    log.warning("this", extra=logs.fields(rpc="Search", duration_ms=1.5))
    (line,) = lines(tmp_path / "log")
    time, rest = line.split(" ", 1)
    assert rest == 'WARN  kyrodb.test: this rpc="Search" duration_ms=1.5'
    assert time.endswith("Z")
    assert len(time) == len("2026-01-01T00:00:00.000Z")


def test_full_files_are_numbered_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "log"
    logs.configure(settings(path, max_file_size_bytes=200, max_files=3))
    for number in range(50):
        log.info("event %d", number)
    logs.flush(PATIENCE_S)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    assert all(file.stat().st_size <= 200 for file in tmp_path.iterdir())
    kept = [line.rsplit(" ", 1)[1] for name in ("log.2", "log.1", "log") for line in lines(tmp_path / name)]
    assert kept == [str(number) for number in range(50 - len(kept), 50)]


def test_a_single_file_starts_over_and_a_huge_number_of_files_costs_nothing(tmp_path: Path) -> None:
    logs.configure(settings(tmp_path / "one", max_file_size_bytes=100, max_files=1))
    for number in range(9):
        log.info("event %d", number)
    assert [line.rsplit(" ", 1)[1] for line in lines(tmp_path / "one")] == ["8"]
    logs.configure(settings(tmp_path / "many", max_file_size_bytes=1, max_files=2**64 - 1))
    for number in range(5):
        log.info("event %d", number)
    logs.flush(PATIENCE_S)
    assert sorted(file.name for file in tmp_path.glob("many*")) == [
        "many",
        *(f"many.{n}" for n in range(1, 5)),
    ]


def test_without_rotation_a_file_grows(tmp_path: Path) -> None:
    logs.configure(settings(tmp_path / "log", rotation=False, max_file_size_bytes=1))
    log.info("a")
    log.info("b")
    assert len(lines(tmp_path / "log")) == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_configuring_again_opens_the_file_anew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    logs.configure(settings(path))
    log.info("before")
    logs.flush(PATIENCE_S)
    path.rename(tmp_path / "moved")
    logs.configure(settings(path))
    log.info("after")
    assert [len(lines(tmp_path / name)) for name in ("moved", "log")] == [1, 1]


def test_a_file_that_cannot_be_opened_leaves_everything_as_it_was(tmp_path: Path) -> None:
    logs.configure(settings(tmp_path / "log"))
    with pytest.raises(ConfigError, match="directory"):
        logs.configure(settings(tmp_path))
    log.info("still here")
    assert len(lines(tmp_path / "log")) == 1


def test_a_rotation_that_is_not_allowed_loses_no_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    logs.configure(settings(path, max_file_size_bytes=100, max_files=2))
    (tmp_path / "log.1").mkdir()
    for number in range(9):
        log.info("event %d", number)
    assert len(lines(path)) == 9


class Pipe:
    """Standard output as a pipe, whose reader reads when told to."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()

    def fill(self) -> None:
        """Log until lines are dropped."""
        before = logs.lost_lines()
        while logs.lost_lines() == before:
            log.info("%s", "x" * 10_000)

    def read_rest(self) -> list[str]:
        """Every line there is, once all have been written."""
        read = bytearray()

        def read_on() -> None:
            while b"last line" not in read[-100:]:
                read.extend(os.read(self._reading, 1 << 20))

        reader = threading.Thread(target=read_on)
        reader.start()
        logs.flush(PATIENCE_S)
        log.info("last line")
        reader.join(PATIENCE_S)
        return read.decode("ascii").splitlines()

    def close_reader(self) -> None:
        os.close(self._reading)
        logs.flush(PATIENCE_S)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Pipe:
    pipe = Pipe()
    monkeypatch.setattr(logs, "_lost", [0])
    monkeypatch.setattr(logs, "_STANDARD_OUTPUT", pipe.writing)
    return pipe


def test_a_pipe_that_nobody_reads_costs_lines_and_no_time(pipe: Pipe) -> None:
    logs.configure(LoggingSettings())
    log.info("first")
    pipe.fill()
    lost = logs.lost_lines()
    assert lost >= 1
    # Once they are read again, how many are missing stands where they are missing.
    first, *others, notice, last = pipe.read_rest()
    assert first.endswith("first")
    assert all(line.endswith("x") for line in others)
    assert f"WARN  pykyro.telemetry.logs: {lost} log lines are missing here: nobody takes them" in notice
    assert last.endswith("last line")
    assert logs.fault() == ""
    pipe.close_reader()


def test_a_stuck_pipe_is_a_fault_and_a_file_takes_over(
    pipe: Pipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_queue, "_STUCK_S", 0.0)
    logs.configure(LoggingSettings())
    pipe.fill()
    assert "nobody has taken a log line" in logs.fault()
    (stuck,) = logging.getLogger().handlers
    logs.flush(0.01)
    # The same place again does not begin another queue behind the one that is stuck.
    threads = threading.active_count()
    logs.configure(LoggingSettings())
    assert threading.active_count() == threads
    logs.configure(settings(tmp_path / "log"))
    log.info("free")
    (line,) = lines(tmp_path / "log")
    assert line.endswith("free")
    pipe.close_reader()
    stuck.queue.flush(PATIENCE_S)  # type: ignore[attr-defined]


def test_a_reader_that_has_left_is_counted_and_no_fault_of_the_program(pipe: Pipe) -> None:
    logs.configure(LoggingSettings())
    log.info("read")
    assert "read" in pipe.read_rest()[0]
    pipe.close_reader()
    log.info("a")
    logs.flush(PATIENCE_S)
    log.info("b")
    logs.flush(PATIENCE_S)
    assert logs.lost_lines() == 2
    assert "2 log lines are missing: Broken pipe" in logs.fault()


def test_lines_wait_within_bounds(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_queue, "LOG_QUEUE_LINES_MAX", 50)
    logs.configure(LoggingSettings())
    for _ in range(1000):
        log.info("x" * 2000)
    # The pipe holds 64 KiB, the queue 50 lines.
    assert 1000 - 50 - 64 <= logs.lost_lines() <= 1000 - 50
    pipe.close_reader()


@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "directory"])
def test_what_is_no_file_is_refused_at_once_and_the_log_goes_on(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "other"
    expected = {
        "fifo": "is a FIFO",
        "socket": "is a socket",
        "device": "is a device",
        "directory": "is a dir",
    }
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
    elif kind == "device":
        path = Path("/dev/full")
    else:
        path.mkdir()
    logs.configure(settings(tmp_path / "log"))
    with pytest.raises(ConfigError, match=expected[kind]) as refused:
        logs.configure(settings(path))
    assert f"logging.file = {path}" in str(refused.value)
    log.info("still here")
    assert len(lines(tmp_path / "log")) == 1


def test_a_fifo_put_in_the_place_of_a_full_file_does_not_stop_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    logs.configure(settings(path, max_file_size_bytes=200, max_files=1))
    log.info("before")
    logs.flush(PATIENCE_S)
    path.rename(tmp_path / "moved")
    os.mkfifo(path)
    for number in range(9):
        log.info("event %d", number)
    assert len(lines(tmp_path / "moved")) == 10


def test_a_line_that_a_full_disk_cut_is_not_continued_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    monkeypatch.setattr(logs, "_lost", [0])
    logs.configure(settings(path))
    log.info("short")
    logs.flush(PATIENCE_S)
    # The kernel gives a part of a write where a file may not grow further, as on a full disk.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 40, before[1]))
    try:
        log.info("a line that is longer than what is left")
        logs.flush(PATIENCE_S)
        log.info("lost as well")
        logs.flush(PATIENCE_S)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    log.info("whole again")
    first, cut, last, notice = lines(path)
    assert first.endswith("short")
    assert len(cut) == 40
    assert last.endswith("whole again")
    assert notice.endswith("2 log lines are missing here: File too large")
    assert logs.lost_lines() == 2


def test_a_thread_that_dies_is_an_event_too(tmp_path: Path) -> None:
    logs.configure(settings(tmp_path / "log"))
    thread = threading.Thread(target=lambda: 1 // 0, name="worker")
    thread.start()
    thread.join()
    (line,) = lines(tmp_path / "log")
    assert "thread worker died" in line
    assert "ZeroDivisionError" in line
