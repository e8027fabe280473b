"""What the background work shares: the parts of an open engine, and what to do when the disk refuses."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pykyro.engine.caches import Caches
from pykyro.engine.maintenance.builder import Builder
from pykyro.engine.memory import EngineMemory
from pykyro.engine.options import EngineOptions
from pykyro.engine.state import State
from pykyro.engine.tiers.cold_segment import ColdSegment
from pykyro.engine.tiers.open_segment import open_segment
from pykyro.engine.write_path import WritePath
from pykyro.model.errors import WriteFailed
from pykyro.storage.files.disk_space import DiskSpace
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import Manifest, SegmentEntry
from pykyro.storage.manifest_store import ManifestStore
from pykyro.storage.wal.log import Log
from pykyro.system.clock import Clock

if TYPE_CHECKING:
    from pykyro.engine.remote.remote import Remote


@dataclass(slots=True)
class SegmentContext:
    """What making segments takes. `lock` is held by whoever changes the state."""

    filesystem: FileSystem
    directory: Path
    options: EngineOptions
    manifests: ManifestStore
    state: State
    builder: Builder
    memory: EngineMemory
    lock: AbstractContextManager[Any]
    remote: Remote | None
    """Where sealed documents are elsewhere."""

    def open_new_segment(self, entry: SegmentEntry) -> ColdSegment:
        """Open files that were just written and synced. Raises DataDamaged, OSError."""
        return open_segment(
            self.filesystem,
            self.directory,
            entry,
            self.options.metric,
            verify=False,
            memory=self.memory,
        )

    def change_manifest(self, change: Callable[[Manifest], Manifest]) -> set[str]:
        """Make a change durable; the names of files that no longer belong to the database. Raises OSError."""
        self.manifests.update(change)
        return self.manifests.take_obsolete()

    def remove_files(self, names: Iterable[str]) -> None:
        """Remove files nobody needs. One that cannot be removed now is removed at the next start: no MANIFEST names
        it."""
        for name in names:
            with contextlib.suppress(OSError):
                self.filesystem.remove(self.directory / name)


@dataclass(slots=True)
class EngineContext(SegmentContext):
    """The wiring of one open engine."""

    clock: Clock
    log: Log
    writes: WritePath
    caches: Caches
    disk: DiskSpace

    def write_failed(self, error: OSError, doing: str) -> WriteFailed:
        """Open the breaker: whatever the disk refused, the next write could meet the same."""
        with self.writes.lock:
            self.log.breaker.trip(error, doing)
        return WriteFailed(
            str(error), path=self.directory, hint="Writes are refused until the disk is proved good"
        )
