"""The current MANIFEST of an open database, changed by one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from kyrodb.clock import Clock
from kyrodb.storage.filesystem import FileSystem
from kyrodb.storage.manifest import Manifest, write_manifest

SESSION_GAP: Final = 100
"""Numbers skipped at each opening. The last owner may have given out a few that no MANIFEST knows, and a build
process that outlived it may still be writing files with them."""


class ManifestStore:
    """Holds the MANIFEST that is known to be on disk, and gives out file numbers.

    After a failed `update` the disk may hold the old or the new state; `current` is the old one, and the next
    successful update settles the matter. Numbers given out are never given out again, so that no file a
    half-written MANIFEST may name is overwritten, nor is such a file obsolete before the matter is settled.
    """

    def __init__(self, filesystem: FileSystem, directory: Path, clock: Clock, current: Manifest) -> None:
        self._filesystem = filesystem
        self._directory = directory
        self._clock = clock
        self._lock = threading.RLock()
        self._next_number = current.next_number + SESSION_GAP
        self._doubtful: set[str] = set()
        self._obsolete: set[str] = set()
        self.current = current

    def take_number(self) -> int:
        """A file number nobody had before."""
        with self._lock:
            number = self._next_number
            self._next_number += 1
            return number

    def update(self, change: Callable[[Manifest], Manifest]) -> Manifest:
        """Make `change(current)` durable and current. Raises OSError when the disk refuses."""
        with self._lock:
            changed = change(self.current).model_copy(
                update={"next_number": self._next_number, "updated_us": self._clock.wall_us()}
            )
            self._doubtful |= changed.file_names
            write_manifest(self._filesystem, self._directory, changed)
            self._obsolete |= (self._doubtful | self.current.file_names) - changed.file_names
            self._doubtful.clear()
            self.current = changed
            return changed

    def forsake(self, names: Iterable[str]) -> None:
        """Files written for an update that will not come. Those that a failed one may have named wait for the
        next."""
        with self._lock:
            self._obsolete |= set(names) - self._doubtful - self.current.file_names

    def take_obsolete(self) -> set[str]:
        """Files that a MANIFEST named, or may have named, or that were forsaken, and that the durable one does not
        name: safe to remove."""
        with self._lock:
            obsolete, self._obsolete = self._obsolete, set()
            return obsolete
