"""The real disk, through the operating system: names, open files, locks. What it implements is filesystem.py.

A forked child has the descriptors of its parent, and what it did with them would happen to its parent's files. So a
child closes them as soon as it exists.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import weakref
from pathlib import Path
from typing import Final

from pykyro.model.types import BytesLike
from pykyro.storage.files.exchange_names import exchange_names
from pykyro.storage.files.mapping import map_descriptor, release_pages
from pykyro.system.descriptors import open_descriptor

_CANNOT_LOCK_DIRECTORIES: Final = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""What flock(2) says of a directory on a network file system; there the file alone is locked, as it always was."""


def open_regular(path: Path) -> int:
    """A descriptor for reading. Something else than a file, a pipe that nobody writes to say, is refused at once."""
    descriptor = open_descriptor(path, os.O_RDONLY | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "not a regular file", str(path))


class _Written:
    """What is written by way of a descriptor, None once it is closed."""

    _descriptor: int | None

    def close(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()

    def abandon(self) -> None:
        """In a forked child: what the child writes would go into the file of its parent."""
        self.close()


class LocalFile(_Written):
    """A file being written; see filesystem.WritableFile."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        _open_here.add(self)

    def write(self, data: BytesLike) -> int:
        if self._descriptor is None:
            raise ValueError("the file is closed")
        return os.write(self._descriptor, data)

    def sync(self, *, data_only: bool = True) -> None:
        if self._descriptor is None:
            raise ValueError("the file is closed")
        if data_only:
            os.fdatasync(self._descriptor)
        else:
            os.fsync(self._descriptor)


class LocalNote(_Written):
    """A note; see filesystem.NoteFile. Written by a call of the system, not by way of a mapping: on a full disk that
    is an error, and no signal that ends the process."""

    def __init__(self, path: Path) -> None:
        flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
        self._descriptor = None
        self._descriptor = open_descriptor(path, flags)
        _open_here.add(self)
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            self.close()
            raise OSError(errno.EINVAL, "not a regular file", str(path))

    def put(self, data: bytes) -> None:
        if self._descriptor is not None and os.pwrite(self._descriptor, data, 0) != len(data):
            raise OSError(errno.ENOSPC, "the disk took only a part of a note")


class DirectoryLock:
    """A held lock, see filesystem.Lock: flock(2) on a directory, and on a file in it that holds the owner's pid.

    The kernel lets go when the process dies. Earlier versions lock the file alone, which is why both are needed.
    """

    def __init__(self, path: Path) -> None:
        self._descriptors: list[int] = []
        self.directory = (0, 0)
        try:
            self._take_directory(path)
            file = self._take(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, path)
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(path))
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            self.release()
            raise
        _open_here.add(self)

    def __del__(self) -> None:
        # A lock nobody has can be released by nobody.
        if self._descriptors:
            self.release()

    def _take_directory(self, path: Path) -> None:
        try:
            descriptor = self._take(path.parent, os.O_RDONLY | os.O_DIRECTORY, path)
        except OSError as error:
            if error.errno not in _CANNOT_LOCK_DIRECTORIES:
                raise
            descriptor = self._descriptors[-1]
        facts = os.fstat(descriptor)
        self.directory = facts.st_dev, facts.st_ino

    def _take(self, place: Path, flags: int, owner_file: Path) -> int:
        descriptor = open_descriptor(place, flags)
        self._descriptors.append(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(error.errno, "the lock is held", _owner(owner_file)) from None
        return descriptor

    def release(self) -> None:
        descriptors, self._descriptors = self._descriptors, []
        for descriptor in descriptors:
            # Closing alone would leave it to a process forked with it to let go.
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def abandon(self) -> None:
        """In a forked child: the lock is the parent's, and only closing leaves it to the parent."""
        descriptors, self._descriptors = self._descriptors, []
        for descriptor in descriptors:
            os.close(descriptor)


def _owner(owner_file: Path) -> str:
    """The pid of the process that holds a lock, "" when it is not known."""
    facts = os.stat(owner_file.parent)
    directory = facts.st_dev, facts.st_ino
    if any(isinstance(one, DirectoryLock) and one.directory == directory for one in list(_open_here)):
        return str(os.getpid())
    try:
        with open(open_regular(owner_file), "rb") as file:
            pid = file.read(32).decode("ascii", "replace").strip()
    except OSError:
        return ""
    # In another container a process may have the number that this one has here.
    return "" if pid == str(os.getpid()) else pid


class LocalFileSystem:
    """The real disk; see filesystem.FileSystem."""

    def create(self, path: Path) -> LocalFile:
        # Appending, a file that another program cut short ends too early, instead of having a hole nobody sees.
        return LocalFile(open_descriptor(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND))

    def open_note(self, path: Path) -> LocalNote:
        return LocalNote(path)

    def read(self, path: Path, *, limit: int | None = None) -> bytes:
        with open(open_regular(path), "rb") as file:
            return file.read() if limit is None else file.read(limit)

    def map(self, path: Path) -> memoryview:
        descriptor = open_regular(path)
        try:
            return map_descriptor(descriptor, os.fstat(descriptor).st_size)
        except OSError as error:
            error.filename = str(path)
            raise
        finally:
            os.close(descriptor)

    def release_pages(self, mapping: memoryview) -> None:
        release_pages(mapping)

    def native_path(self, path: Path) -> str | None:
        # Native libraries are given text, and a name that is no text has none.
        text = str(path)
        return text if text.isascii() or os.fsencode(path).decode("utf-8", "replace") == text else None

    def replace(self, source: Path, target: Path) -> None:
        os.replace(source, target)

    def exchange(self, one: Path, other: Path) -> None:
        exchange_names(one, other)

    def link(self, source: Path, target: Path) -> None:
        os.link(source, target)

    def remove(self, path: Path) -> None:
        os.unlink(path)

    def remove_directory(self, path: Path) -> None:
        os.rmdir(path)

    def make_directory(self, path: Path) -> None:
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not path.is_dir():
                raise

    def sync_directory(self, path: Path) -> None:
        descriptor = open_descriptor(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def names(self, path: Path) -> list[str]:
        return sorted(os.listdir(path))

    def size(self, path: Path) -> int:
        return os.stat(path).st_size

    def exists(self, path: Path) -> bool:
        return os.path.lexists(path)

    def identity(self, path: Path) -> tuple[int, int]:
        return self.identity_and_size(path)[0]

    def identity_and_size(self, path: Path) -> tuple[tuple[int, int], int]:
        facts = os.stat(path)
        return (facts.st_dev, facts.st_ino), facts.st_size

    def free_bytes(self, path: Path) -> tuple[int, int]:
        disk = os.statvfs(path)
        return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize

    def lock(self, path: Path) -> DirectoryLock:
        return DirectoryLock(path)


_open_here: Final[weakref.WeakSet[LocalFile | LocalNote | DirectoryLock]] = weakref.WeakSet()
"""What this process holds open."""


def _abandon_all() -> None:
    for one in list(_open_here):
        one.abandon()
    _open_here.clear()


os.register_at_fork(after_in_child=_abandon_all)
