"""The current MANIFEST of an open database, changed by one thread at a time."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from pykyro.model.errors import StorageError
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.files.same_file import require_same
from pykyro.storage.manifest import Manifest, read_manifest, write_manifest
from pykyro.system.clock import Clock

SESSION_GAP: Final = 100
"""Numbers skipped at each opening. The last owner may have given out a few that no MANIFEST knows, and a build
process that outlived it may still be writing files with them."""


class ManifestStore:
    """Holds the MANIFEST that is known to be on disk, and gives out file numbers.

    After a failed `update` the disk may hold the old or the new state; `current` is the old one, and the next
    successful update settles the matter. Numbers given out are never given out again, so that no file a
    half-written MANIFEST may name is overwritten, nor is such a file obsolete before the matter is settled.

    What somebody else wrote is never replaced: before each change the directory must be the one that was opened, and
    its MANIFEST one that was written here. Locks can be removed, and data directories be moved while they are open.
    """

    def __init__(
        self,
        filesystem: FileSystem,
        directory: Path,
        clock: Clock,
        current: Manifest,
        *,
        numbers_from: int = 0,
    ) -> None:
        """`current` is what the disk holds; numbers below `numbers_from` may be in use all the same. Raises
        OSError."""
        self._filesystem = filesystem
        self._directory = directory
        self._clock = clock
        self._lock = threading.RLock()
        self._identity = filesystem.identity(directory)
        self._written = [current]
        """What the disk may hold, as far as it was written here."""
        self._next_number = max(current.next_number, numbers_from) + SESSION_GAP
        self._doubtful: set[str] = set()
        self._obsolete: set[str] = set()
        self.current = current

    def take_number(self) -> int:
        """A file number nobody had before. OSError when the directory is no longer the one that was opened."""
        with self._lock:
            self._require_directory()
            number = self._next_number
            self._next_number += 1
            return number

    def update(self, change: Callable[[Manifest], Manifest]) -> Manifest:
        """Make `change(current)` durable and current. Raises OSError when the disk refuses, or when directory or
        MANIFEST are no longer those of this database."""
        with self._lock:
            self._require_directory()
            self._require_manifest()
            changed = change(self.current).model_copy(
                update={"next_number": self._next_number, "updated_us": self._clock.wall_us()}
            )
            self._doubtful |= changed.file_names
            self._written.append(changed)
            write_manifest(self._filesystem, self._directory, changed)
            self._obsolete |= (self._doubtful | self.current.file_names) - changed.file_names
            self._doubtful.clear()
            self._written = [changed]
            self.current = changed
            return changed

    def abandon(self, names: Iterable[str]) -> None:
        """Files written for an update that will not come. Those that a failed one may have named wait for the
        next."""
        with self._lock:
            self._obsolete |= set(names) - self._doubtful - self.current.file_names

    def take_obsolete(self) -> set[str]:
        """Files that a MANIFEST named, or may have named, or that were abandoned, and that the durable one does not
        name: safe to remove."""
        with self._lock:
            obsolete, self._obsolete = self._obsolete, set()
            return obsolete

    def _require_directory(self) -> None:
        require_same(self._filesystem, self._directory, self._identity)

    def _require_manifest(self) -> None:
        path = self._directory / filename.MANIFEST
        try:
            if read_manifest(self._filesystem, self._directory) in self._written:
                return
        except FileNotFoundError:
            names = sorted(self.current.file_names)
            if all(self._filesystem.exists(self._directory / name) for name in names):
                # It alone was removed, so writing it again makes the database whole.
                return
            raise OSError(
                errno.ESTALE, f"{path} and files it named were removed while the database was open"
            ) from None
        except StorageError:
            pass
        raise OSError(
            errno.ESTALE,
            f"{path} was changed by somebody else while the database was open: what stands there now is left as it "
            "is. Close this database, and see which other process or tool wrote to the directory",
        )
