"""One process a data directory."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pykyro.model.errors import DataDirInUse
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem, Lock
from pykyro.storage.files.local_files import open_regular

_PID_BYTES_MAX: Final = 32
_RELEASE_S: Final = 2.0
"""How long the lock of a process that has died may last: a child that it was just starting still has the descriptor,
until it runs another program or lets go of it."""


def lock_directory(filesystem: FileSystem, directory: Path) -> Lock:
    """Take the directory, or raise DataDirInUse with the owner's pid. Raises OSError."""
    path = directory / filename.LOCK
    until_s = time.monotonic() + _RELEASE_S
    while True:
        try:
            return filesystem.lock(path)
        except BlockingIOError as error:
            stated = int(error.filename) if str(error.filename).isdigit() else 0
        if not stated or _is_running(stated) or time.monotonic() > until_s:
            break
        time.sleep(_RELEASE_S / 100)
    if stated == os.getpid():
        raise DataDirInUse(
            "already open in this process",
            path=directory,
            owner_pid=stated,
            hint="Use the database that is open (any thread may), or close it first",
        )
    # The file may have been replaced; the kernel knows.
    owner = owner_of(directory) or stated
    raise DataDirInUse(
        f"in use by process {owner}" if owner else "in use by another process, perhaps in another container",
        path=directory,
        owner_pid=owner,
        hint="Stop that process, or choose another data_dir",
    )


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def owner_of(directory: Path) -> int | None:
    """The pid of the process that has the database in `directory` open; None when none has, or none is known.

    It only looks: taking the lock to see whether it is free could refuse a server that starts at that moment.
    """
    try:
        locks = Path("/proc/locks").read_text("ascii")
    except OSError:
        return None
    # Earlier versions lock the file alone; of this one the directory tells even when the file was removed.
    for path in (directory / filename.LOCK, directory):
        with contextlib.suppress(OSError):
            facts = os.stat(path)
            place = f"{os.major(facts.st_dev):02x}:{os.minor(facts.st_dev):02x}:{facts.st_ino}"
            for line in locks.splitlines():
                words = line.split()
                if words[1] == "FLOCK" and words[5] == place:
                    return int(words[4])
    return _opener_of(directory / filename.LOCK)


def _opener_of(path: Path) -> int | None:
    """The pid that the lock file states, if that process has the file open.

    On file systems of several devices, such as btrfs and overlayfs, the kernel's list names another than stat does.
    """
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            facts = os.fstat(file.fileno())
            pid = int(file.read(_PID_BYTES_MAX))
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except (OSError, ValueError):
        return None
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            if os.path.samestat(descriptor.stat(), facts):
                return pid
    return None


def make_directories(filesystem: FileSystem, directory: Path) -> None:
    """Create `directory` and what is missing above it, each name durable. Raises OSError."""
    missing = []
    at = directory
    while not filesystem.exists(at):
        missing.append(at)
        at = at.parent
    made: list[Path] = []
    try:
        for path in reversed(missing):
            filesystem.make_directory(path)
            made.append(path)
            filesystem.sync_directory(path.parent)
        if not filesystem.exists(directory / filename.MANIFEST):
            _sync_names_above(filesystem, directory, made)
    except OSError:
        # Found here next time, they would be believed to be durable.
        with contextlib.suppress(OSError):
            for path in reversed(made):
                filesystem.remove_directory(path)
        raise


def _sync_names_above(filesystem: FileSystem, directory: Path, made: Sequence[Path]) -> None:
    """An earlier start may have died after making one of these and before making its name durable."""
    for path in (directory, *directory.parents[:-1]):
        if path in made:
            continue
        try:
            filesystem.sync_directory(path.parent)
        except OSError as error:
            # A directory that we may not even open was not made by us.
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EINVAL):
                raise
