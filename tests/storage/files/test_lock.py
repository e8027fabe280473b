"""One process a directory, and directories whose names last."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.crash.disk import AllLost
from tests.crash.fault_filesystem import Fault, FaultFS, PowerCut
from tests.storage.opening import open_log, put

from pykyro.model.errors import DataDirInUse
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.files.lock import lock_directory, make_directories, owner_of

_OWNER = """
import sys, pathlib
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.files.lock import lock_directory
lock = lock_directory(LocalFileSystem(), pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_the_owner_can_be_told_without_touching_anything(tmp_path: Path) -> None:
    assert owner_of(tmp_path) is None
    lock = lock_directory(LocalFileSystem(), tmp_path)
    assert owner_of(tmp_path) == os.getpid()
    assert owner_of(tmp_path / "other") is None
    lock.release()
    assert owner_of(tmp_path) is None


def test_the_owner_can_be_told_where_the_kernel_names_another_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on btrfs and overlayfs: then it is whoever the file names, if that process has it open."""
    read_text = Path.read_text

    def without_locks(path: Path, *arguments: str) -> str:
        return "" if path == Path("/proc/locks") else read_text(path, *arguments)

    monkeypatch.setattr(Path, "read_text", without_locks)
    lock = lock_directory(LocalFileSystem(), tmp_path)
    assert owner_of(tmp_path) == os.getpid()
    lock.release()
    assert owner_of(tmp_path) is None
    (tmp_path / "LOCK").write_text("no pid")
    assert owner_of(tmp_path) is None


def test_second_owner_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    with owner.stdin, owner.stdout:
        assert owner.stdout.readline() == b"held\n"
        with pytest.raises(DataDirInUse, match=f"in use by process {owner.pid}") as caught:
            lock_directory(LocalFileSystem(), tmp_path)
        assert caught.value.owner_pid == owner.pid
        owner.kill()
        owner.wait()
    lock_directory(LocalFileSystem(), tmp_path).release()


def test_lock_is_free_after_its_release_and_names_its_owner(tmp_path: Path) -> None:
    lock = lock_directory(LocalFileSystem(), tmp_path)
    assert (tmp_path / "LOCK").read_text() == f"{os.getpid()}\n"
    with pytest.raises(DataDirInUse):
        lock_directory(LocalFileSystem(), tmp_path)
    lock.release()
    lock.release()
    lock_directory(LocalFileSystem(), tmp_path).release()


def test_longer_pid_of_an_earlier_owner_does_not_show_through(tmp_path: Path) -> None:
    (tmp_path / "LOCK").write_text("123456789012\n")
    lock_directory(LocalFileSystem(), tmp_path).release()
    assert (tmp_path / "LOCK").read_text() == f"{os.getpid()}\n"


def test_every_directory_on_the_way_is_durable() -> None:
    disk = FaultFS()
    make_directories(disk, Path("/a/b/c"))
    assert disk.crash(AllLost()).names(Path("/a/b")) == ["c"]


@pytest.mark.parametrize("call", range(4))
def test_directory_left_by_a_start_that_died_is_made_durable_by_the_next(call: int) -> None:
    """By signal, so the page cache lives; and then the power goes."""
    disk = FaultFS()
    disk.faults = [Fault(call, "cut")]
    with pytest.raises(PowerCut):
        open_log(disk, directory=Path("/a/b"))
    disk.power_on()
    disk.kill_process()
    open_log(disk, directory=Path("/a/b")).log.append([put(1)])
    assert open_log(disk.crash(AllLost()), directory=Path("/a/b")).contents == [put(1)]


@pytest.mark.parametrize("call", range(4))
def test_directory_whose_sync_failed_is_not_believed_by_the_next_start(call: int) -> None:
    for seed in range(6):
        disk = FaultFS(seed=seed)
        disk.faults = [Fault(call, "error")]
        with pytest.raises(OSError, match="Input/output"):
            open_log(disk, directory=Path("/a/b"))
        disk.kill_process()
        disk.heal()
        open_log(disk, directory=Path("/a/b")).log.append([put(1)])
        assert open_log(disk.crash(AllLost()), directory=Path("/a/b")).contents == [put(1)]


def test_a_child_that_a_killed_owner_was_just_starting_is_waited_for(tmp_path: Path) -> None:
    """Between fork and exec the child has the lock's descriptor, and its owner may be killed at that moment."""
    program = _OWNER.replace(
        'print("held", flush=True)',
        "import ctypes, os, time\n"
        "if ctypes.CDLL(None).fork() == 0:\n"  # without the hooks of os.fork, as between fork and exec
        '    print("held", flush=True)\n'
        "    while os.getppid() == parent: time.sleep(0.01)\n"
        "    time.sleep(0.2)\n"
        "    os._exit(0)",
    ).replace("import sys, pathlib", "import os, sys, pathlib\nparent = os.getpid()")
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    with owner.stdin, owner.stdout:
        assert owner.stdout.readline() == b"held\n"
        owner.kill()
        owner.wait()
        lock_directory(LocalFileSystem(), tmp_path).release()
