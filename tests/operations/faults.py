"""Disks that fail under a running server, and what a test needs to watch it."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.operations import mounts
from tests.patience import wait_until


def limit_file_size(pid: int, size_bytes: int) -> None:
    """From now on the process cannot write a file beyond this size: EFBIG, or a write cut short."""
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, most))


def lift_file_size_limit(pid: int) -> None:
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))


@contextlib.contextmanager
def small_disk(size_bytes: int) -> Iterator[Path]:
    """A disk of its own, in memory. Needs root; without it the test is skipped."""
    _require_root()
    with mounts.directory() as directory:
        disk = directory / "disk"
        disk.mkdir()
        _mount("tmpfs", "-t", "tmpfs", "-o", f"size={size_bytes}", "kyrodb-test", str(disk))
        yield disk


class Ext4Disk:
    """A disk with a real file system, in a file. Needs root and mkfs.ext4; without them the test is skipped."""

    def __init__(self, directory: Path, size_bytes: int) -> None:
        self.path = directory / "disk"
        self._image = directory / "image"
        self.path.mkdir()
        with self._image.open("wb") as image:
            image.truncate(size_bytes)
        if shutil.which("mkfs.ext4") is None:
            pytest.skip("mkfs.ext4 is not installed")
        subprocess.run(["mkfs.ext4", "-q", "-F", str(self._image)], check=True)
        self.mount()

    def mount(self) -> None:
        _mount("loop device", "-o", "loop,errors=remount-ro", str(self._image), str(self.path))

    def unmount(self) -> None:
        """As soon as nobody uses it: a build process may outlive its server for a moment."""
        command = ["umount", str(self.path)]
        wait_until(
            lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0, "umount"
        )

    def meet_an_error(self) -> None:
        """What the kernel does when it finds the file system damaged: from now on it is read-only."""
        found = subprocess.run(
            ["findmnt", "-no", "SOURCE", str(self.path)], capture_output=True, text=True, check=True
        )
        trigger = Path("/sys/fs/ext4") / Path(found.stdout.strip()).name / "trigger_fs_error"
        if not trigger.exists():
            pytest.skip("this kernel has no trigger_fs_error")
        trigger.write_text("1")


@contextlib.contextmanager
def ext4_disk(size_bytes: int) -> Iterator[Ext4Disk]:
    """One that is mounted, and gone afterwards."""
    _require_root()
    with mounts.directory() as directory:
        yield Ext4Disk(directory, size_bytes)


def _require_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a disk needs root")


def _mount(what: str, *arguments: str) -> None:
    mounted = subprocess.run(["mount", *arguments], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a {what}: {mounted.stderr.decode().strip()}")


def fill(disk: Path, *, leaving_bytes: int) -> Path:
    """Take room on the disk until so much is left; the file that takes it."""
    filler = disk / "filler"
    with filler.open("ab") as file:
        while (wanted := shutil.disk_usage(disk).free - leaving_bytes) > 0:
            try:
                os.write(file.fileno(), bytes(min(wanted, 1 << 20)))
            except OSError:
                break
    return filler


@contextlib.contextmanager
def injected(pid: int, *faults: str) -> Iterator[None]:
    """System calls of the process meet `faults`, such as "fsync:error=EIO". Needs strace and leave to trace."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-p", str(pid)]
    calls = ",".join(fault.split(":")[0] for fault in faults)
    command += ["-e", f"trace={calls}", *(part for fault in faults for part in ("-e", f"inject={fault}"))]
    tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        wait_until(lambda: _is_traced(pid) or tracer.poll() is not None, "strace attaches")
        if tracer.poll() is not None:
            pytest.skip("this system does not let strace attach")
        yield
    finally:
        tracer.terminate()
        tracer.communicate()


def _is_traced(pid: int) -> bool:
    """Whether every thread of the process has a tracer."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if "TracerPid:\t0" in (task / "status").read_text():
                return False
    return True
