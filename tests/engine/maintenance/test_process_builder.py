"""Graphs come to be wherever the program runs: by a process that runs our code and nothing else, or without one."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from tests.engine.opening import DIMENSION, fill, vectors
from tests.patience import wait_until

from pykyro.engine.engine import Engine, open_engine
from pykyro.engine.maintenance import process_builder
from pykyro.engine.maintenance.build_protocol import GREETING
from pykyro.engine.maintenance.builder import BuildFailed
from pykyro.engine.options import EngineOptions
from pykyro.model.limits import GRAPH_ROWS_MIN
from pykyro.system.isolated_python import isolated_command

ROWS = 2 * GRAPH_ROWS_MIN
WAIT_S = 120.0


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PYTHON")]:
        monkeypatch.delenv(name)


def opened(path: Path, *, background: bool = False) -> Engine:
    return open_engine(path / "data", EngineOptions(DIMENSION, background=background))


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def build_twice(engine: Engine) -> None:
    for first_id in (1, ROWS + 1):
        fill(engine, vectors(ROWS, seed=first_id), first_id=first_id)
        engine.flush()


def is_whole(engine: Engine, segments: int = 2) -> None:
    stats = engine.stats()
    assert (stats.documents, stats.segments) == (2 * ROWS, segments)
    assert all(segment.graph is not None for segment in engine._context.state.version.cold)
    assert (stats.breaker_state, stats.refusing_writes, stats.maintenance_failure) == (0, "", "")


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that build processes were started with."""
    started: list[list[str]] = []
    real = isolated_command

    def noted(*arguments: str) -> list[str]:
        started.append(real(*arguments))
        return started[-1]

    monkeypatch.setattr(process_builder, "isolated_command", noted)
    return started


def test_graphs_are_built_by_a_process(
    tmp_path: Path, processes: list[list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    engine = opened(tmp_path)
    build_twice(engine)
    is_whole(engine)
    engine.close()
    assert len(processes) == 2
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("executable", "why"),
    [
        ("", "empty"),
        (None, "empty"),
        ("{}/python3-gone", "does not exist"),
        ("{}/python-not-executable", "cannot be executed"),
        ("{}/python-directory", "cannot be executed"),
        ("python3", "not an absolute path"),
        ("/bin/true", "not that of a Python"),
        ("{}/python-that-says-nothing", "ended with status 0"),
        ("{}/python-that-fails", "ended with status 3"),
        ("{}/python-that-talks", "it printed"),
        ("{}/python-of-no-format", "Exec format error"),
        ("{}/python\0", "not that of a Python"),
    ],
)
def test_without_a_python_graphs_are_built_here_and_that_is_said_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    executable: str | None,
    why: str,
) -> None:
    (tmp_path / "python-not-executable").write_text("")
    (tmp_path / "python-directory").mkdir()
    script(tmp_path / "python-that-says-nothing", "exit 0")
    script(tmp_path / "python-that-fails", "echo no >&2; exit 3")
    script(tmp_path / "python-that-talks", "yes talk")
    (tmp_path / "python-of-no-format").write_bytes(b"\x7fELF nothing")
    (tmp_path / "python-of-no-format").chmod(0o755)
    path = None if executable is None else executable.replace("{}", str(tmp_path))
    monkeypatch.setattr(sys, "executable", path)
    engine = opened(tmp_path)
    build_twice(engine)
    is_whole(engine)
    engine.close()
    (said,) = (record for record in caplog.records if "graphs are built in this process" in record.message)
    assert said.levelno == logging.WARNING
    assert why in said.message


def test_a_process_that_is_killed_is_tried_again_before_graphs_are_built_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "python-that-is-killed", "kill -9 $$")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python-that-is-killed"))
    engine = opened(tmp_path)
    fill(engine, vectors(GRAPH_ROWS_MIN))
    for _ in range(2):
        with pytest.raises(BuildFailed, match="killed by signal 9"):
            engine.flush()
    engine.flush()
    assert engine.stats().cold_documents == GRAPH_ROWS_MIN
    engine.close()


@pytest.mark.parametrize("frozen", [True, "macosx_app"])
def test_a_frozen_program_is_not_started_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: list[list[str]], frozen: object
) -> None:
    monkeypatch.setattr(sys, "frozen", frozen, raising=False)
    engine = opened(tmp_path)
    build_twice(engine)
    is_whole(engine)
    engine.close()
    assert not processes


def test_a_system_that_starts_no_process_opens_no_breaker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **named: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refused)
    engine = opened(tmp_path)
    build_twice(engine)
    is_whole(engine)
    engine.close()


def test_the_background_merges_without_a_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    engine = opened(tmp_path, background=True)
    build_twice(engine)
    wait_until(lambda: engine.stats().merges)
    is_whole(engine, segments=1)
    engine.close()


HOSTILE = "raise SystemExit(open({!r}, 'a').write('executed') and 9)"


def test_nothing_that_lies_around_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, mark = tmp_path / "here", tmp_path / "mark"
    here.mkdir()
    for name in (
        "queue",
        "json",
        "numpy",
        "pykyro",
        "runpy",
        "sitecustomize",
        "usercustomize",
        "faiss",
        "random",
    ):
        (here / f"{name}.py").write_text(HOSTILE.format(str(mark)))
    (here / "startup.py").write_text(HOSTILE.format(str(mark)))
    monkeypatch.chdir(here)
    monkeypatch.setenv("PYTHONPATH", str(here))
    monkeypatch.setenv("PYTHONSTARTUP", str(here / "startup.py"))
    monkeypatch.setenv("PYTHONINSPECT", "1")
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.setenv("PYTHONHASHSEED", "none of this")
    monkeypatch.setenv("PYTHONHOME", str(here))
    monkeypatch.syspath_prepend(str(here))
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    engine = opened(tmp_path)
    build_twice(engine)
    is_whole(engine)
    engine.close()
    assert not mark.exists()


PROGRAM = """
import logging, os, shutil, sys
logging.basicConfig(level=logging.WARNING)
exec(sys.argv[2])
import numpy, pykyro
with pykyro.open(sys.argv[1], dimension=8, background=False) as database:
    rows = numpy.random.default_rng(1).standard_normal((1500, 8))
    assert database.insert_many(enumerate(rows, 1)).inserted == 1500
    assert database.flush().documents == 1500
    assert database._engine._context.state.version.cold[0].graph is not None
print("built")
"""


GONE = "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')"


@pytest.mark.parametrize(
    ("options", "before"),
    [
        ((), "pass"),
        (("-I",), "pass"),
        (("-B",), "pass"),
        (("-X", "utf8"), "os.close(0)"),
        ((), "os.close(0); os.close(1); os.open('/dev/null', os.O_RDWR); os.dup2(2, 1)"),
        ((), GONE),
        (("-I",), GONE),
        ((), "sys.path.remove('') if '' in sys.path else None; sys.argv[0] = 'elsewhere'"),
    ],
    ids=str,
)
def test_programs_of_every_kind_get_their_process(
    tmp_path: Path, options: tuple[str, ...], before: str
) -> None:
    done = subprocess.run(
        [sys.executable, *options, "-c", PROGRAM, str(tmp_path / "data"), before],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert "built" in done.stdout + done.stderr, done.stderr
    assert "in this process" not in done.stderr


IN_DAEMON = """
import logging, multiprocessing, runpy, sys
def work():
    sys.argv[1:] = sys.argv[2:]
    exec(compile(sys.argv.pop(), "program", "exec"), {"__name__": "other"})
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    child = multiprocessing.Process(target=work, daemon=True)
    child.start(); child.join()
    sys.exit(child.exitcode)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_daemon_of_multiprocessing_builds_too(tmp_path: Path, method: str) -> None:
    main = tmp_path / "main.py"
    main.write_text(IN_DAEMON)
    done = subprocess.run(
        [sys.executable, str(main), method, str(tmp_path / "data"), "pass", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert (done.returncode, "built" in done.stdout) == (0, True), done.stderr
    assert "in this process" not in done.stderr


def test_a_build_that_hangs_ends_with_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = tmp_path / "pid"
    hanging = script(
        tmp_path / "python",
        f"echo $$ > {pid}; printf '%s\\n' '{GREETING.decode().strip()}'; exec sleep 100000",
    )
    monkeypatch.setattr(sys, "executable", hanging)
    engine = opened(tmp_path, background=True)
    fill(engine, vectors(5000))
    wait_until(pid.exists)
    assert engine.stats().documents == 5000
    engine.close()
    wait_until(lambda: not Path("/proc", pid.read_text().strip()).exists())
    monkeypatch.undo()
    again = opened(tmp_path)
    assert again.stats().documents == 5000
    again.close()


def test_a_process_that_does_not_start_in_time_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process_builder, "START_S", 0.2)
    monkeypatch.setattr(sys, "executable", script(tmp_path / "python", "exec sleep 100000"))
    engine = opened(tmp_path)
    build_twice(engine)
    is_whole(engine)
    engine.close()
    assert [record for record in caplog.records if "had not started after" in record.message]


def test_a_build_that_dies_again_and_again_shows_in_health_until_one_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The breaker stays closed: there is nothing to mend about the disk."""
    greeting = GREETING.decode().strip()
    dying = script(tmp_path / "python", f"printf '%s\\n' '{greeting}'; read line; kill -9 $$")
    monkeypatch.setattr(sys, "executable", dying)
    engine = opened(tmp_path, background=True)
    fill(engine, vectors(5000))
    wait_until(lambda: engine.stats().maintenance_failure)
    for at in range(20):
        stats = engine.stats()
        assert "was killed by signal 9" in stats.maintenance_failure
        assert (stats.breaker_state, stats.refusing_writes) == (0, "")
        fill(engine, vectors(1), first_id=6000 + at)
        time.sleep(0.05)
    monkeypatch.undo()
    wait_until(lambda: not engine.stats().maintenance_failure)
    assert engine.stats().hot_flushes >= 1
    engine.close()


@pytest.mark.parametrize("error", [ValueError("no such thing"), AssertionError(), MemoryError()], ids=repr)
def test_a_fault_nobody_foresaw_does_not_end_the_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    engine = opened(tmp_path, background=True)
    sealing = engine._maintenance.sealing

    def faulty() -> int:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(sealing, "seal", faulty)
        fill(engine, vectors(5000))
        wait_until(lambda: engine.stats().maintenance_failure)
        assert engine.stats().maintenance_failure in (str(error), type(error).__name__)
        assert engine.stats().breaker_state == 0
    wait_until(lambda: engine.stats().hot_flushes)
    wait_until(lambda: not engine.stats().maintenance_failure)
    engine.close()


def test_merges_that_fail_hold_up_no_seal_and_wait_longer_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(tmp_path, background=True)
    tries: list[float] = []

    def failing() -> bool:
        tries.append(time.monotonic())
        raise ValueError("no merge")

    monkeypatch.setattr(engine._maintenance.merging, "_start", failing)
    for seals in (1, 2, 3):
        fill(engine, vectors(5000, seed=seals), first_id=seals * 5000)
        wait_until(lambda seals=seals: engine.stats().hot_flushes == seals)  # type: ignore[misc]
    # Failures that follow each other: one before there was anything to merge is forgotten.
    wait_until(lambda: any(later - earlier > 1.9 for earlier, later in pairwise(tries)))
    assert engine.stats().maintenance_failure == "no merge"
    assert min(later - earlier for earlier, later in pairwise(tries)) > 0.9
    engine.close()
