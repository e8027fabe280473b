"""The one seam between the database and its disk. Nothing else in the program opens a data file.

The interface is small on purpose, so that a test can stand a complete, faulty disk behind it:

* A file is created once, written from front to back, synced, closed, and never opened for writing again. The one
  exception is a note (`open_note`), which is worth nothing after a crash.
* `replace`, `exchange` and `link` change names; a change of names is durable only after `sync_directory`.
* Every method may raise OSError; callers decide what that means. `write` may write less than asked for.

The real disk stands in local_files.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from pykyro.model.types import BytesLike
from pykyro.storage.files.local_files import LocalFileSystem as LocalFileSystem


class WritableFile(Protocol):
    """A new file being written, front to back."""

    def write(self, data: BytesLike) -> int:
        """Append bytes; returns how many were taken, which may be fewer than given."""
        ...

    def sync(self, *, data_only: bool = True) -> None:
        """Return only when everything written so far is on disk. `data_only` may leave time stamps behind."""
        ...

    def close(self) -> None:
        """Give the file back, without syncing. Closing twice is allowed."""
        ...


class NoteFile(Protocol):
    """A few bytes that are written over in place, for whoever maps them. They are not synced."""

    def put(self, data: bytes) -> None:
        """Make this the content, which always has the same length."""
        ...

    def close(self) -> None:
        """Give the file back. Closing twice is allowed."""
        ...


class Lock(Protocol):
    """A held exclusive lock."""

    def release(self) -> None: ...


class FileSystem(Protocol):
    """What the database asks of a file system."""

    def create(self, path: Path) -> WritableFile:
        """A new, empty file. FileExistsError when the name is taken."""
        ...

    def open_note(self, path: Path) -> NoteFile:
        """The note at `path`, which is created unless it is there."""
        ...

    def read(self, path: Path, *, limit: int | None = None) -> bytes:
        """The whole content, or its first `limit` bytes."""
        ...

    def map(self, path: Path) -> memoryview:
        """The content as a read-only buffer that need not be in memory; it outlives the name."""
        ...

    def release_pages(self, mapping: memoryview) -> None:
        """Let the system take back the memory behind a mapping; what is needed again is read again."""
        ...

    def native_path(self, path: Path) -> str | None:
        """A path a native library may open for reading, or None when only `map` can reach the bytes."""
        ...

    def replace(self, source: Path, target: Path) -> None:
        """Rename, replacing `target` atomically."""
        ...

    def exchange(self, one: Path, other: Path) -> None:
        """Swap two names of one directory, files or directories, atomically."""
        ...

    def link(self, source: Path, target: Path) -> None:
        """A second name for the same file. FileExistsError when the name is taken."""
        ...

    def remove(self, path: Path) -> None: ...

    def remove_directory(self, path: Path) -> None:
        """Remove an empty directory."""
        ...

    def make_directory(self, path: Path) -> None:
        """Create `path`; it may exist already. Its parent must exist."""
        ...

    def sync_directory(self, path: Path) -> None:
        """Make the creation, renaming and removal of names in `path` durable."""
        ...

    def names(self, path: Path) -> list[str]:
        """Names in a directory, sorted. FileNotFoundError when there is none."""
        ...

    def size(self, path: Path) -> int: ...

    def exists(self, path: Path) -> bool: ...

    def identity(self, path: Path) -> tuple[int, int]:
        """What stands behind a name, whatever other names it has: another file of the same name has another one."""
        ...

    def identity_and_size(self, path: Path) -> tuple[tuple[int, int], int]:
        """Both at one moment."""
        ...

    def free_bytes(self, path: Path) -> tuple[int, int]:
        """Bytes an unprivileged writer may still use, and bytes in all, of the disk under `path`."""
        ...

    def lock(self, path: Path) -> Lock:
        """Take the exclusive lock on the directory of `path`, which nobody can unlink away, and on `path` in it,
        which tells the owner's pid. BlockingIOError, whose `filename` is that pid as text (or ""), when it is held,
        be it by this process."""
        ...


def write_new_file(filesystem: FileSystem, path: Path, pieces: Iterable[BytesLike]) -> None:
    """Create a file of these pieces. Its content is durable when this returns, its name once the directory is synced.

    Raises OSError, FileExistsError among them.
    """
    file = filesystem.create(path)
    try:
        for piece in pieces:
            write_all(file, piece)
        file.sync(data_only=False)
    finally:
        file.close()


def write_all(file: WritableFile, data: BytesLike) -> None:
    """Write every byte, however often the disk takes less than it was given."""
    rest = memoryview(data).cast("B")
    while rest.nbytes:
        taken = file.write(rest)
        if taken <= 0:
            raise OSError(0, "the file system accepted no bytes and gave no error")
        rest = rest[taken:]
