"""Where backups are kept: the one seam between them and a directory or an object store.

An object is written from front to back, appears under its name whole and durable or not at all, and is never
changed; small ones may be replaced as a whole. Every method may raise OSError.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from pykyro.backup import filename
from pykyro.model.errors import DataDirInUse
from pykyro.model.types import BytesLike
from pykyro.storage import filename as data_filename
from pykyro.storage.files.filesystem import FileSystem, Lock, write_all
from pykyro.storage.files.lock import make_directories
from pykyro.storage.files.replace_file import replace_file

CHUNK_BYTES: Final = 4 << 20
SYNC_BYTES: Final = 32 << 20
"""An archive is synced this often: on one disk the server's log must not wait behind hundreds of megabytes."""


class Readable(Protocol):
    """An object open for reading."""

    @property
    def size_bytes(self) -> int: ...

    def read(self, start: int, length: int) -> BytesLike:
        """`length` bytes from byte `start`, fewer at the end of the object."""
        ...


class Upload(Protocol):
    """A new object on its way."""

    def write(self, data: BytesLike) -> None: ...

    def finish(self) -> None:
        """Return when the object is durable under its name."""
        ...

    def abandon(self) -> None:
        """Remove the written part, as far as possible."""
        ...


class Target(Protocol):
    """A place for archives and their labels."""

    @property
    def location(self) -> str:
        """The directory or URL, for messages."""
        ...

    def sizes(self) -> dict[str, int]:
        """Name and length in bytes of every archive and label; none when the place does not exist yet."""
        ...

    def open(self, name: str) -> Readable:
        """FileNotFoundError when there is no such object."""
        ...

    def create(self, name: str, expected_bytes: int = 0) -> Upload:
        """`expected_bytes` is about how long the object will be; it may come to twice as much."""
        ...

    def put(self, name: str, data: bytes) -> None:
        """Write or replace a small object, durably."""
        ...

    def remove(self, name: str) -> None: ...

    def lock(self) -> Lock:
        """Keep every other writer out. Raises DataDirInUse. Leftovers of dead writers are removed."""
        ...

    def free_bytes(self) -> int | None:
        """Free space, None when it is not known."""
        ...


def chunks(source: Readable, start: int, length: int) -> Iterator[BytesLike]:
    """`length` bytes from byte `start`, piece by piece; they end early where the object ends."""
    while length:
        piece = source.read(start, min(length, CHUNK_BYTES))
        if not len(piece):
            return
        yield piece
        start += len(piece)
        length -= len(piece)


class DirectoryTarget:
    """A local directory. It is created, durably, by the first writer."""

    def __init__(self, filesystem: FileSystem, directory: Path) -> None:
        self._filesystem = filesystem
        self._directory = directory

    @property
    def location(self) -> str:
        return str(self._directory)

    def sizes(self) -> dict[str, int]:
        sizes = {}
        for name in self._names():
            if filename.archive_id(name) or filename.entry_id(name):
                # One that vanishes now was pruned.
                with contextlib.suppress(FileNotFoundError):
                    sizes[name] = self._filesystem.size(self._directory / name)
        return sizes

    def open(self, name: str) -> Readable:
        return _MappedFile(self._filesystem.map(self._directory / name))

    def create(self, name: str, expected_bytes: int = 0) -> Upload:
        return _FileUpload(self._filesystem, self._directory, name)

    def put(self, name: str, data: bytes) -> None:
        replace_file(self._filesystem, self._directory, name, data)

    def remove(self, name: str) -> None:
        self._filesystem.remove(self._directory / name)
        self._filesystem.sync_directory(self._directory)

    def lock(self) -> Lock:
        make_directories(self._filesystem, self._directory)
        try:
            lock = self._filesystem.lock(self._directory / filename.LOCK)
        except BlockingIOError as error:
            owner = int(error.filename) if str(error.filename).isdigit() else 0
            raise DataDirInUse(
                f"process {owner or 'unknown'} is changing the backups",
                path=self._directory,
                owner_pid=owner,
                hint="Try again when it is done",
            ) from None
        try:
            for name in self._names():
                if filename.is_leftover(name):
                    self._filesystem.remove(self._directory / name)
        except BaseException:
            lock.release()
            raise
        return lock

    def free_bytes(self) -> int | None:
        return self._filesystem.free_bytes(self._directory)[0]

    def _names(self) -> list[str]:
        return self._filesystem.names(self._directory) if self._filesystem.exists(self._directory) else []


class _MappedFile:
    def __init__(self, content: memoryview) -> None:
        self._content = content

    @property
    def size_bytes(self) -> int:
        return len(self._content)

    def read(self, start: int, length: int) -> BytesLike:
        return self._content[start : start + length]


class _FileUpload:
    def __init__(self, filesystem: FileSystem, directory: Path, name: str) -> None:
        self._filesystem = filesystem
        self._path = directory / name
        self._temporary = directory / data_filename.temporary(name)
        self._names = [self._temporary]
        self._unsynced_bytes = 0
        self._file = filesystem.create(self._temporary)

    def write(self, data: BytesLike) -> None:
        write_all(self._file, data)
        self._unsynced_bytes += len(data)
        if self._unsynced_bytes >= SYNC_BYTES:
            self._file.sync()
            self._unsynced_bytes = 0

    def finish(self) -> None:
        self._file.sync(data_only=False)
        self._file.close()
        self._names.append(self._path)
        self._filesystem.replace(self._temporary, self._path)
        self._filesystem.sync_directory(self._path.parent)

    def abandon(self) -> None:
        self._file.close()
        # The final name too: after a failed fsync of the directory it may be seen and yet never become durable,
        # and the next backup would build on it.
        for name in self._names:
            with contextlib.suppress(OSError):
                self._filesystem.remove(name)
