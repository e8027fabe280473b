"""A database with a known past: every position of its log, the state there, and backups made on the way.

All of it lives on a FaultFS, so that restoring thousands of times costs no disk, and crashes can be tried.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tests.crash.clock import FakeClock
from tests.crash.fault_filesystem import FaultFS
from tests.crash.oracle import Doc, State, apply, effect

from pykyro.backup.create import CreateOptions, create_backup
from pykyro.backup.history.catalog import Catalog, CatalogEntry, read_catalog
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import RestorePlan
from pykyro.backup.offline_reader import OfflineReader
from pykyro.backup.restore import restore
from pykyro.backup.target.target import DirectoryTarget
from pykyro.engine.engine import Engine, open_engine
from pykyro.engine.maintenance.builder import InlineBuilder
from pykyro.engine.options import EngineOptions
from pykyro.model.requests import Delete, DeleteMany, Operation, Put, UpdateMetadata
from pykyro.model.types import NAMESPACE_KEY, Document
from pykyro.storage.files.filesystem import FileSystem

DATA = Path("/var/data")
BACKUPS = Path("/backups")
RESTORED = Path("/var/restored")
DIMENSION = 4
TICK_US = 1000


@dataclass(slots=True)
class Played:
    """The database is open unless `engine` is None. `states` has an entry for each position an operation got."""

    disk: FaultFS = field(default_factory=FaultFS)
    clock: FakeClock = field(default_factory=lambda: FakeClock(tick_us=TICK_US))
    retention: int = 1 << 30
    states: dict[int, State] = field(default_factory=lambda: {0: {}})
    times_us: dict[int, int] = field(default_factory=dict)
    engine: Engine | None = None
    backups: list[CatalogEntry] = field(default_factory=list)

    def open(self) -> Engine:
        options = EngineOptions(
            dimension=DIMENSION,
            background=False,
            wal_retention_bytes=self.retention,
            wal_segment_bytes_max=4000,
        )
        self.engine = open_engine(
            DATA, options, filesystem=self.disk, clock=self.clock, builder=InlineBuilder(self.disk)
        )
        return self.engine

    def write(self, operation: Operation) -> None:
        engine = self.engine or self.open()
        # The clock ticks with every look; the log looks first, to stamp the frame.
        stamp_us = self.clock.wall_us() + TICK_US
        ack = engine.write(operation)
        state = self.states[max(self.states)]
        if effect(operation, state):
            assert ack.lsn > max(self.states)
            self.states[ack.lsn] = apply(state, [effect(operation, state)])
            self.times_us[ack.lsn] = stamp_us

    def close(self) -> None:
        if self.engine is not None:
            self.engine.close()
            self.engine = None

    def kill(self) -> None:
        """The process dies; the page cache stays."""
        self.engine = None
        self.disk.kill_process()

    @property
    def target(self) -> DirectoryTarget:
        return DirectoryTarget(self.disk, BACKUPS)

    @property
    def catalog(self) -> Catalog:
        catalog = read_catalog(self.target)
        assert catalog.warnings == []
        return catalog

    def back_up(self, *, incremental: bool = False, reference: str | None = None) -> CatalogEntry:
        options = CreateOptions(incremental=incremental, reference=reference)
        entry = create_backup(self.disk, DATA, self.target, self.clock, options)
        self.backups.append(entry)
        return entry

    def state_at(self, lsn: int) -> State:
        """A position that no operation got is that of a seal or a probe; nothing changes there."""
        known = sorted(self.states)
        return self.states[known[bisect_right(known, lsn) - 1]]

    def lsn_at(self, time_us: int) -> int:
        """The last operation at or before an instant."""
        return max((lsn for lsn, at in self.times_us.items() if at <= time_us), default=0)

    def restored(self, plan: RestorePlan) -> State:
        """The state that a restore leads to, found without the engine."""
        restore(self.disk, RESTORED, Store(self.target), plan, self.clock, allow_clear=True)
        return read_files(self.disk, RESTORED)


def read_files(disk: FileSystem, directory: Path) -> State:
    """Every document of a data directory, found without the engine."""
    recovered = OfflineReader(disk, directory)
    state = {d.key: Doc.of(d.vector, d.metadata) for d in recovered.documents()}
    assert recovered.count == len(state)
    return state


def operations(count: int, seed: int, ids: int = 60) -> Iterator[Operation]:
    """Random writes over a few documents, so that most of them meet an earlier one."""
    rng = random.Random(seed)
    for _ in range(count):
        doc_id = rng.randint(1, ids)
        roll = rng.random()
        if roll < 0.6:
            vector = np.array([rng.randint(1, 9) for _ in range(DIMENSION)], dtype=np.float32)
            metadata = {"colour": rng.choice(("red", "green")), NAMESPACE_KEY: rng.choice(("n0", "n1"))}
            yield Put(Document(doc_id, vector, metadata))
        elif roll < 0.75:
            yield UpdateMetadata(
                doc_id, {"colour": "blue", "at": str(rng.random())}, merge=rng.random() < 0.5
            )
        elif roll < 0.95:
            yield Delete(doc_id)
        else:
            yield DeleteMany([rng.randint(1, ids) for _ in range(3)])


def played(writes: int, *, flush_at: tuple[int, ...] = ()) -> Played:
    """A database with so many random writes, the hot tier sealed after some of them."""
    past = Played()
    write(past, writes, flush_at=flush_at)
    return past


def write(past: Played, writes: int, *, seed: int = 4, flush_at: tuple[int, ...] = ()) -> None:
    """More random writes."""
    for number, operation in enumerate(operations(writes, seed=seed, ids=12), 1):
        past.write(operation)
        if number in flush_at:
            assert past.engine is not None
            past.engine.flush()
