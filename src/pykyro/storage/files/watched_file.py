"""A small file that another process replaces as a whole, as MANIFEST and COLLECTIONS are."""

from __future__ import annotations

from pathlib import Path

from pykyro.storage.files.filesystem import FileSystem


class WatchedFile:
    """Whether the name leads to another file than the one that was read. One thread at a time calls it."""

    def __init__(self, filesystem: FileSystem, path: Path) -> None:
        self._filesystem = filesystem
        self._path = path
        self._identity: tuple[int, int] | None = None
        self._held = memoryview(b"")
        """What was read stays mapped, so that no new file is given its number."""

    @property
    def is_replaced(self) -> bool:
        """Whether there is another file than the one read last; that there is none at all counts. Raises OSError."""
        return self._look() != self._identity

    def content(self) -> bytes:
        """What the file holds now. Raises FileNotFoundError, OSError."""
        while True:
            identity = self._look()
            held = self._filesystem.map(self._path)
            if self._look() == identity:
                self._identity, self._held = identity, held
                return held.tobytes()

    def content_or_none(self) -> bytes | None:
        """`content`; None when there is no file."""
        try:
            return self.content()
        except FileNotFoundError:
            self._identity, self._held = None, memoryview(b"")
            return None

    def _look(self) -> tuple[int, int] | None:
        try:
            return self._filesystem.identity(self._path)
        except FileNotFoundError:
            return None
