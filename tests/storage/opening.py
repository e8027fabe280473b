"""A log on any file system, opened the way the engine opens it, but with nothing above it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tests.crash.clock import FakeClock

from pykyro.model.metadata_wire import encode_metadata
from pykyro.model.types import LSN, Metric
from pykyro.storage.files.filesystem import FileSystem, Lock
from pykyro.storage.files.lock import lock_directory, make_directories
from pykyro.storage.recovery import Recovery
from pykyro.storage.wal.log import Log, LogOptions
from pykyro.storage.wal.records import DeleteRecord, PutRecord, Record
from pykyro.storage.wal.writer import encode_records
from pykyro.system.clock import Clock

DATA = Path("/data")
DIMENSION = 4


@dataclass(slots=True)
class OpenLog:
    """An open log, and the operations that opening it found."""

    recovery: Recovery
    log: Log
    lock: Lock
    replayed: list[tuple[LSN, list[Record]]] = field(default_factory=list)

    @property
    def contents(self) -> list[bytes]:
        """The replayed operations, encoded: comparable, unlike arrays."""
        return [encode_records(records, tenanted=False) for _, records in self.replayed]

    def close(self) -> None:
        try:
            self.log.close()
        finally:
            self.lock.release()


def open_log(
    filesystem: FileSystem,
    *,
    clock: Clock | None = None,
    options: LogOptions | None = None,
    directory: Path = DATA,
    dimension: int = DIMENSION,
    metric: Metric = Metric.COSINE,
) -> OpenLog:
    """Recovery and Log, in the engine's order."""
    make_directories(filesystem, directory)
    lock = lock_directory(filesystem, directory)
    try:
        clock = clock or FakeClock()
        recovery = Recovery(filesystem, directory, clock, dimension=dimension, metric=metric)
        replayed = [(lsn, records) for lsn, records, _ in recovery.replay()]
        return OpenLog(recovery, recovery.start_log(options or LogOptions()), lock, replayed)
    except BaseException:
        lock.release()
        raise


def put(doc_id: int, fill: float = 1.0, **metadata: str) -> bytes:
    """The content of a frame that puts one document."""
    return encode_records(
        [PutRecord(doc_id, np.full(DIMENSION, fill, dtype=np.float32), metadata, encode_metadata(metadata))],
        tenanted=False,
    )


def delete(doc_id: int) -> bytes:
    return encode_records([DeleteRecord(doc_id)], tenanted=False)
