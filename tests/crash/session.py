"""A database under test together with its oracle: the workload's steps carried out, every answer judged."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

from tests.crash.checker import check_reads, require_allowed
from tests.crash.clock import FakeClock
from tests.crash.disk import loss_named
from tests.crash.fault_filesystem import FaultFS
from tests.crash.oracle import Oracle
from tests.crash.workload import DIMENSION, TENANTS, Step

from pykyro.engine.engine import Engine, open_engine
from pykyro.engine.maintenance import builder, segment_builder
from pykyro.engine.maintenance.builder import InlineBuilder
from pykyro.engine.options import EngineOptions
from pykyro.engine.tiers import hot_tier, merged_metadata
from pykyro.model.errors import KyroError, StorageError, Unavailable, WriteFailed
from pykyro.model.limits import GRAPH_ROWS_MIN
from pykyro.model.requests import Ack
from pykyro.model.types import Metric
from pykyro.model.words import WordsConfig
from pykyro.storage import filename
from pykyro.storage.files.filesystem import write_new_file
from pykyro.storage.files.lock import make_directories
from pykyro.storage.snapshot import snapshot_names
from pykyro.storage.verify import verify_directory
from pykyro.storage.wal.log import SyncPolicy

DATA = Path("/srv/data")
WORDS = WordsConfig(("colour", "text"), "english")


def options_for(seed: int) -> EngineOptions:
    """Small bounds, so that a short workload rotates, seals and merges; metric and policy by seed. Every third keeps
    words."""
    rng = random.Random(seed)
    metric = rng.choice(list(Metric))
    options = EngineOptions(
        dimension=DIMENSION,
        metric=metric,
        hot_rows_max=rng.choice((6, 12, 40)),
        mutations_per_checkpoint=rng.choice((10, 25, 1000)),
        wal_segment_bytes_max=rng.choice((2000, 6000, 1 << 20)),
        background=False,
        words=WORDS if seed % 3 == 1 else None,
    )
    if rng.random() < 0.25:
        return replace(options, sync=SyncPolicy.DATA_ONLY, sync_interval_ms=100)
    return replace(options, sync=rng.choice((SyncPolicy.DATA_ONLY, SyncPolicy.FULL)))


@contextmanager
def without_logs() -> Iterator[None]:
    """Nothing is logged inside; afterwards, as before."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def conditions(seed: int, *, randomness: int | None = None) -> Iterator[None]:
    """What a run depends on besides its calls: salts and history ids come from the seed, so that it repeats to the
    byte; with every third seed, segments of a few rows already get a graph; with every second, merges into documents
    of any size share what they do not change, and hot tiers of any size are made anew. What the engine logs of every
    injected fault is not written."""
    graph_rows_min = 3 if seed % 3 == 0 else GRAPH_ROWS_MIN
    with (
        without_logs(),
        mock.patch("os.urandom", random.Random(seed if randomness is None else randomness).randbytes),
        mock.patch.object(segment_builder, "GRAPH_ROWS_MIN", graph_rows_min),
        mock.patch.object(builder, "GRAPH_ROWS_MIN", graph_rows_min),
        mock.patch.object(merged_metadata, "_SMALL_BYTES", 0 if seed % 2 else merged_metadata._SMALL_BYTES),
        mock.patch.object(hot_tier, "_COMPACT_BYTES", 0 if seed % 2 else hot_tier._COMPACT_BYTES),
    ):
        yield


def open_on(disk: FaultFS, options: EngineOptions, clock: FakeClock) -> Engine:
    return open_engine(DATA, options, filesystem=disk, clock=clock, builder=InlineBuilder(disk))


def disk_with_tenants(seed: int) -> FaultFS:
    """An empty disk but for the numbers of the workload's tenants, as the existing KyroDB left them."""
    disk = FaultFS(seed=seed)
    make_directories(disk, DATA)
    write_new_file(disk, DATA / filename.LEGACY_TENANTS, [json.dumps(TENANTS).encode()])
    disk.sync_directory(DATA)
    disk.calls.clear()
    return disk


class Session:
    """One disk, one oracle, and an engine that comes and goes. A step that fails leaves the oracle knowing less."""

    def __init__(self, seed: int, disk: FaultFS | None = None) -> None:
        self.seed = seed
        self.disk = disk or disk_with_tenants(seed)
        self.clock = FakeClock()
        self.options = options_for(seed)
        self.oracle = Oracle()
        self.engine: Engine | None = None
        self.acknowledged = 0
        self.refused = 0
        self.failures: list[Exception] = []
        self.snapshots: list[str] = []
        """Acknowledged snapshots that must still be there."""
        self.tenants: dict[str, int] = {**TENANTS}
        """Numbers that were given out, and must stay those tenants' for ever."""
        self._errors_before = 0

    # --- steps ---

    def run(self, step: Step) -> None:
        """Carry out one step, opening the database first if need be. A disk error is an answer, not a failure."""
        try:
            engine = self.open()
            match step.kind:
                case "commit":
                    self._commit(engine, step)
                case "flush":
                    engine.flush()
                case "snapshot":
                    self._snapshot(engine)
                case "maintain":
                    engine.maintain()
                case "sync":
                    self._sync(engine)
                case "restart":
                    self.close()
                case "kill":
                    self.kill()
                case "wait":
                    self._wait(step.seconds)
                case "tenants":
                    self._number_tenants(engine, step.names)
        except (KyroError, OSError) as error:
            self._require_disk_error(error)
            self.failures.append(error)

    def open(self) -> Engine:
        """The engine; a fresh one shows an allowed state, which from then on is the acknowledged one."""
        if self.engine is None:
            engine = open_on(self.disk, self.options, self.clock)
            self.oracle.settle(require_allowed(engine, self.oracle.allowed()))
            self.require_tenants(engine)
            self.engine = engine
            self._errors_before = len(self.disk.errors)
        return self.engine

    def close(self) -> None:
        engine, self.engine = self.engine, None
        if engine is not None:
            engine.close()
            self.oracle.all_synced()

    def kill(self) -> None:
        self.engine = None
        self.disk.kill_process()

    def die(self) -> None:
        """The process was killed in the middle of a step; the machine, and its page cache, live on."""
        self.kill()
        self.disk.power_on()

    def lose_power(self, loss: str) -> None:
        """The machine died in the middle of a step, and comes back with what this loss leaves."""
        self.engine = None
        self.disk = self.disk.crash(loss_named(loss))

    def check(self) -> None:
        """The running database shows what was acknowledged, and nothing else."""
        if self.engine is not None:
            assert require_allowed(self.engine, [self.oracle.visible]) is not None
            check_reads(self.engine, self.oracle.visible, self.seed)

    # --- inside ---

    @property
    def syncs_before_ack(self) -> bool:
        return self.options.log.syncs_before_ack

    def _commit(self, engine: Engine, step: Step) -> None:
        errors = self.disk.errors[self._errors_before :]
        self.oracle.begin(step.operations)
        answers = engine.commit(step.operations)
        self.oracle.end(step.operations, answers, synced=self.syncs_before_ack)
        for answer in answers:
            if isinstance(answer, Ack):
                self.acknowledged += 1
            else:
                self.refused += 1
                self._require_disk_error(answer)
        if errors and any(isinstance(answer, Ack) for answer in answers):
            self._require_proved_ground(errors[-1])

    def _require_proved_ground(self, error: int) -> None:
        """An acknowledgement after an error needs a new segment: written, synced, read back, named."""
        calls = [str(call) for call in self.disk.calls[error + 1 :]]
        created = [call.removeprefix("create ") for call in calls if call.startswith("create wal_")]
        directory = f"sync_directory {DATA.name}"
        wanted = ("create {0}", "sync {0}", directory, "read {0}", "replace MANIFEST", directory)
        assert any(_in_order(calls, [line.format(name) for line in wanted]) for name in created), (
            f"acknowledged after the error at call {error} without proved ground: {calls}"
        )

    def _snapshot(self, engine: Engine) -> None:
        # While a new one is made, the oldest may go; some may be there that nobody was told of.
        there = snapshot_names(self.disk, DATA)
        youngest = there[len(there) + 1 - self.options.snapshots_kept :]
        self.snapshots = [name for name in self.snapshots if name in youngest]
        report = engine.snapshot()
        self.oracle.all_synced()
        assert report.documents == len(self.oracle.visible)
        path = Path(report.path)
        assert verify_directory(self.disk, path).damage == []
        self.snapshots.append(path.name)

    def _number_tenants(self, engine: Engine, names: tuple[str, ...]) -> None:
        for name, index in engine.tenant_indices(names).items():
            assert self.tenants.setdefault(name, index) == index, f"tenant {name} got another number"
        self.require_tenants(engine)

    def require_tenants(self, engine: Engine) -> None:
        """Numbers that were given out belong to their tenants, and to nobody else."""
        known = engine._context.manifests.current.tenants
        assert len(set(known.values())) == len(known), f"two tenants share a number: {known}"
        lost = {name: index for name, index in self.tenants.items() if known.get(name) != index}
        assert not lost, f"tenants lost their numbers: {lost}"

    def _sync(self, engine: Engine) -> None:
        engine._context.log.sync()
        if engine._context.log.breaker.closed:
            self.oracle.all_synced()

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            self.clock.advance(seconds)
        else:
            self.clock.step_wall(seconds)

    def _require_disk_error(self, error: Exception) -> None:
        """Only a disk that was made to fail may be an excuse, and only these classes may say so."""
        assert self.disk.struck, f"no fault was set, yet: {error!r}"
        refused_opening = type(error) is StorageError  # and not, say, DataDamaged
        assert refused_opening or isinstance(error, (WriteFailed, Unavailable, OSError)), repr(error)


def _in_order(calls: list[str], wanted: list[str]) -> bool:
    rest = iter(calls)
    return all(line in rest for line in wanted)
