"""What stands for the log and the MANIFEST of an engine that writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from pykyro.model.errors import FailedPrecondition
from pykyro.model.types import LSN
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import Manifest
from pykyro.storage.manifest_store import ManifestStore
from pykyro.storage.wal.breaker import Breaker
from pykyro.storage.wal.log import Log
from pykyro.system.clock import Clock


class UnwrittenLog(Log):
    """A log that takes nothing. Whoever comes here was refused by the write path already, or should have been."""

    takes_writes = False

    def __init__(self, clock: Clock, refusal: Callable[[], str]) -> None:
        # Not that of Log, which opens a segment.
        self._refusal = refusal
        self.breaker = Breaker(clock)
        self.writes = self.bytes_written = self.syncs = 0
        self.has_types = self.has_hole = False
        self.on_sync = lambda duration_s: None

    @property
    def position(self) -> LSN:
        return 0

    @property
    def segment_empty(self) -> bool:
        return True

    @property
    def unsynced_frames(self) -> int:
        return 0

    @property
    def unsynced_age_s(self) -> float:
        return 0.0

    def announce(self, *, merges: bool, types: bool, expiry: bool = False, keys: bool = False) -> None:
        self._refuse()

    def append(self, contents: Sequence[bytes]) -> list[LSN]:
        self._refuse()

    def rotate(self) -> LSN:
        self._refuse()

    def require_writable(self) -> None:
        self._refuse()

    def sync(self) -> None:
        pass

    def probe(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _refuse(self) -> NoReturn:
        raise FailedPrecondition(self._refusal())


class UnwrittenManifests(ManifestStore):
    """The MANIFEST as it was read last."""

    def __init__(
        self,
        filesystem: FileSystem,
        directory: Path,
        clock: Clock,
        current: Manifest,
        refusal: Callable[[], str],
    ) -> None:
        super().__init__(filesystem, directory, clock, current)
        self._refusal = refusal

    def take_number(self) -> int:
        raise FailedPrecondition(self._refusal())

    def update(self, change: Callable[[Manifest], Manifest]) -> Manifest:
        raise FailedPrecondition(self._refusal())


class NoLock:
    """What an engine holds that takes no lock; see filesystem.Lock."""

    def release(self) -> None:
        pass
