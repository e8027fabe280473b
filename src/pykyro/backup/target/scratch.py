"""A directory for work that is thrown away, gone afterwards whatever ends the process.

    kyrodb-scratch-XXXXXXXX/      locked, flock(2) on the directory itself, by the process that works in it

It is removed when the work ends, also by an exception or a signal that becomes one. What a killed process left is
removed by the next that makes one in the same place, or changes backups there: nobody holds its lock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PREFIX: Final = "kyrodb-scratch-"
_UNLOCKED_PREFIXES: Final = ("kyrodb-verify-", "kyrodb-drill-")
"""Earlier versions gave such names, and held no lock: one of them that is old is worked in by nobody."""
_OLD_S: Final = 86_400.0
_TRIES: Final = 100


@contextlib.contextmanager
def scratch_directory(place: Path | None) -> Iterator[Path]:
    """A new, empty directory in `place`, None being the system's; removed at the end. Raises OSError."""
    where = Path(tempfile.gettempdir()) if place is None else place
    remove_stale_scratch(where)
    path, descriptor = _make_locked(where)
    try:
        yield path
    finally:
        try:
            shutil.rmtree(path)
        finally:
            os.close(descriptor)


def remove_stale_scratch(place: Path) -> None:
    """Remove the scratch directories of killed processes in a directory, as far as possible."""
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if entry.name.startswith((_PREFIX, *_UNLOCKED_PREFIXES)):
                with contextlib.suppress(OSError):
                    _remove_if_stale(entry)


def _make_locked(where: Path) -> tuple[Path, int]:
    for _ in range(_TRIES):
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=where))
        descriptor = None
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            if _lock(descriptor) and os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return path, descriptor
        except FileNotFoundError:
            pass  # Another process took it for stale before it was locked.
        if descriptor is not None:
            os.close(descriptor)
    raise OSError(errno.EBUSY, "no scratch directory could be kept", str(where))


def _remove_if_stale(entry: os.DirEntry[str]) -> None:
    facts = entry.stat(follow_symlinks=False)
    if not entry.is_dir(follow_symlinks=False) or facts.st_uid != os.geteuid():
        return
    if entry.name.startswith(_UNLOCKED_PREFIXES) and time.time() - facts.st_mtime < _OLD_S:
        return
    descriptor = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(entry.path)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Whether the directory is ours. On a file system without such locks it is, and nobody can take it for stale."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
