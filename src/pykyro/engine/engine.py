"""Opening and closing the engine, and its whole surface. What happens in between is in write_path, read_path,
sealing and merging."""

from __future__ import annotations

import threading
import time
from _thread import start_new_thread
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from pykyro.engine.context import EngineContext
from pykyro.engine.engine_stats import stats_of
from pykyro.engine.freshness import until_fresh, wait_for
from pykyro.engine.listing import Listing
from pykyro.engine.maintenance.builder import Builder
from pykyro.engine.maintenance.maintenance import SYNCS, WORK, Maintenance
from pykyro.engine.maintenance.process_builder import ProcessBuilder
from pykyro.engine.memory import EngineMemory
from pykyro.engine.open_engines import PARTS, Inherited, close_quietly, note_opened, refusal_of_inherited
from pykyro.engine.opening import recovered
from pykyro.engine.options import EngineOptions
from pykyro.engine.read_path import ReadPath
from pykyro.engine.reading.following import FOLLOWS, Following
from pykyro.engine.recall.monitor import RecallMonitor
from pykyro.engine.recall.thread import RECALL
from pykyro.engine.upkeep import compact, take_snapshot
from pykyro.memory.budget import MemoryBudget
from pykyro.model.arguments import Schema
from pykyro.model.cold_tier import ColdTier
from pykyro.model.errors import FailedPrecondition, KyroError
from pykyro.model.expiry import Expiry
from pykyro.model.freshness import Freshness
from pykyro.model.requests import (
    Ack,
    CompactionReport,
    EngineStats,
    FlushReport,
    Found,
    MoveReport,
    Operation,
    SearchRequest,
    SearchResult,
    SnapshotReport,
)
from pykyro.model.types import EVERYTHING, AnyId, Scope
from pykyro.storage.files.filesystem import FileSystem, LocalFileSystem, Lock
from pykyro.storage.files.lock import lock_directory, make_directories
from pykyro.storage.files.opening_errors import opening_error
from pykyro.storage.recovery import RecoveryReport
from pykyro.system.clock import Clock, SystemClock
from pykyro.system.job_thread import JobThreads


class Engine:
    """An open database. Every method may be called from any thread; those that write block until durable.

    Those that change anything are done whole, even when a signal handler raises meanwhile: see job_thread.
    """

    def __init__(
        self,
        context: EngineContext,
        lock: Lock,
        recovered: RecoveryReport,
        threads: JobThreads | None = None,
        following: Following | None = None,
    ) -> None:
        """Without `threads` it has its own, and ends them; with `following` another process writes the directory."""
        self._context = context
        self.filesystem = context.filesystem
        self.writes = context.writes
        self._lock = lock
        self._expiration = context.writes.expiration
        self.reads = ReadPath(
            context.options, context.state, context.caches, context.clock, self._expiration, context.lock
        )
        """The way of a search, for whoever takes its two steps apart."""
        self._recall = RecallMonitor(
            context.options.recall, self.reads, context.state, context.caches, context.clock
        )
        self.listing = Listing(context.state, context.caches.commits, context.lock, self._expiration)
        """Counts and pages of documents."""
        self.reads.samples = self._recall
        self._maintenance = Maintenance(context)
        self._maintenance.lock_held = lock
        self.following = following
        """How it keeps up with the process that writes; None where this engine is the one that writes."""
        self._closing = threading.RLock()
        self._threads = threads or JobThreads()
        self._owns_threads = threads is None
        self._writer, self._keeper = self._threads.writer, self._threads.keeper
        self._expiration.run = self._writer.call
        self.options = context.options
        self.schema = Schema(
            context.options.dimension, context.options.metric, bool(context.options.text_ids)
        )
        self.directory = context.directory
        self.recovered = recovered
        self._closed = False
        self.refusal = ""
        """Why nothing of this engine may be used in this process, a forked child; empty where it may."""
        note_opened(self)
        if context.options.background:
            (self._maintenance if following is None else following).start()
            self._recall.start()

    @property
    def asks_elsewhere(self) -> bool:
        """Whether a read may have to ask another machine."""
        return self._context.remote is not None

    # --- writes ---

    def commit(self, operations: Sequence[Operation]) -> Sequence[Ack | KyroError]:
        """Make operations durable, as one group with one fsync, and visible.

        The answer has one item an operation: its Ack, or the error that refused it and changed nothing
        (ResourceExhausted, Unavailable, WriteFailed). Operations must be valid: see distance.check_vector.
        """
        return self._writer.call(partial(self._context.writes.commit, operations))

    def write(self, operation: Operation) -> Ack:
        """`commit` of one operation. Raises what refused it."""
        (answer,) = self.commit([operation])
        if isinstance(answer, KyroError):
            raise answer
        return answer

    # --- reads ---

    def search(self, request: SearchRequest) -> SearchResult:
        """The nearest documents. The vector must be valid: see distance.check_vector."""
        return self.reads.answer(request)

    def search_many(self, requests: Sequence[SearchRequest]) -> list[SearchResult | KyroError]:
        """`search` for each request, in order; errors stand in their places."""
        return self.reads.search(self.reads.lookup(requests))

    def get(self, doc_id: AnyId, scope: Scope = EVERYTHING, *, cached: bool = True) -> Found | None:
        """The document that the tenant of `scope` knows as `doc_id`, or None when it is absent or in another
        namespace; without `cached`, never from a cache."""
        return self.reads.get(doc_id, scope, cached=cached)

    def wait_for(self, wanted: Freshness | None) -> None:
        """Return when the position that is wanted is reached. When it is not in time, raises FailedPrecondition, or
        Unavailable where this engine follows another process."""
        following = self.following
        wait_for(self._context.state, wanted) if following is None else following.wait_for(wanted)

    async def until_fresh(self, wanted: Freshness | None) -> None:
        """`wait_for` on an event loop."""
        await until_fresh(self._context.state, wanted, follows=self.following is not None)

    def watch_syncs(self, observer: Callable[[float], None]) -> None:
        """Have `observer` told how many seconds each sync of the log took, by whichever thread synced."""
        self._context.log.on_sync = observer

    @property
    def ef_search(self) -> int:
        """Candidates a graph walk keeps when a request does not say. May be changed at any time."""
        return self.reads.ef_search

    @ef_search.setter
    def ef_search(self, value: int) -> None:
        self.reads.ef_search = value

    @property
    def default_ttl_us(self) -> int:
        """How many microseconds after they were put documents go that are put without an expiry; 0: they stay. May be
        changed at any time."""
        expiry = self.writes.default_expiry
        return 0 if expiry is None else expiry.ttl_us

    @default_ttl_us.setter
    def default_ttl_us(self, value: int) -> None:
        self.writes.default_expiry = Expiry(ttl_us=value) if value else None

    # --- tenants ---

    def tenant_indices(self, tenant_ids: Sequence[str]) -> dict[str, int]:
        """The number of each of these tenants; who has none yet is given the next one, durably.

        Documents name their tenant by it (types.Key), and it is never another tenant's. Raises WriteFailed,
        ResourceExhausted.
        """
        return self._keeper.call(partial(self._tenant_indices, tenant_ids))

    def _tenant_indices(self, tenant_ids: Sequence[str]) -> dict[str, int]:
        context = self._context
        if self.following is not None:
            return context.state.tenants.numbers_of(tenant_ids, context.manifests.current.tenants)
        self._require_writer()
        if any(tenant_id not in context.manifests.current.tenants for tenant_id in tenant_ids):
            try:
                context.manifests.update(lambda manifest: manifest.with_tenants(tenant_ids))
            except OSError as error:
                raise context.write_failed(error, "numbering tenants") from error
        known = context.manifests.current.tenants
        indices = {tenant_id: known[tenant_id] for tenant_id in tenant_ids}
        with context.writes.lock:
            context.state.tenants.count(indices.values(), context.state.version.oldest_first)
        return indices

    def tenant_documents(self) -> dict[str, int]:
        """Live documents of every tenant that was ever given a number."""
        context = self._context
        self._before_reading()
        return {
            tenant_id: context.state.tenants.of(index)
            for tenant_id, index in context.manifests.current.tenants.items()
        }

    # --- upkeep ---

    def flush(self, *, force: bool = True) -> FlushReport:
        """Seal the hot tier now; without `force` only when it is due. Raises WriteFailed, Unavailable."""
        self._require_writer()
        started, maintenance = time.perf_counter(), self._maintenance
        due = force or maintenance.sealing.due
        return FlushReport(self._keeper.call(maintenance.flush) if due else 0, time.perf_counter() - started)

    def compact(self) -> CompactionReport:
        """Seal the hot tier and merge all segments, so that the space of deleted and replaced documents comes back.

        It takes as long as building the graph again; writes and reads go on. What comes in meanwhile is sealed and
        merged as always. Raises WriteFailed, Unavailable, BuildFailed, DataDamaged, and ResourceExhausted when there
        is no memory for it; then it can be called again.
        """
        return compact(self._context, self._maintenance, self._keeper.call)

    def move(self, to: ColdTier, on_step: Callable[[str], None] = lambda step: None) -> MoveReport:
        """Have the sealed documents elsewhere, or here again; see moving/mover.py. `on_step` is told of each step."""
        self._require_writer()
        from pykyro.engine.moving.mover import move_engine  # which knows psycopg

        report = move_engine(self, self._context, self._maintenance, self._keeper.call, to, on_step)
        self.options = self._context.options
        if self.asks_elsewhere:
            self._recall.stop()
        return report

    @property
    def documents(self) -> int:
        """How many documents there are."""
        self._before_reading()
        return self._context.state.documents

    @property
    def expired(self) -> int:
        """Documents that went at their instant since the engine was opened."""
        return self._expiration.expired

    @property
    def expires_from_us(self) -> int:
        """No document goes before this instant, NEVER_US if none goes at all."""
        return self._context.state.expires_from_us

    @property
    def merging(self) -> bool:
        """Whether segments are being merged now."""
        return self._maintenance.merging.running

    def maintain(self) -> bool:
        """Do one piece of background work that is due; False when nothing is. For `background=False`."""
        self._require_writer()
        return self._keeper.call(self._maintenance.step)

    def snapshot(self) -> SnapshotReport:
        """Hard links of this moment's files, in a directory that opens as a database of its own.

        Raises WriteFailed, Unavailable, ResourceExhausted when the disk has hardly any room left, FailedPrecondition
        when the sealed documents are elsewhere.
        """
        self._require_writer()
        return self._keeper.call(partial(take_snapshot, self._context, self._maintenance))

    def stats(self) -> EngineStats:
        self._before_reading()
        return stats_of(self._context, self._maintenance, self.expired, self.following)

    def _require_writer(self) -> None:
        """Raises FailedPrecondition where nothing may be written."""
        if (why := self.writes.read_only) is not None:
            raise FailedPrecondition(why())

    def _before_reading(self) -> None:
        """See that nothing which is due is counted."""
        if self._context.state.may_expire:
            self._expiration.before_reading()

    @property
    def recall(self) -> RecallMonitor:
        """What is known of the recall of searches as they are used."""
        return self._recall

    def close(self) -> None:
        """Stop the background, seal the log, let go of the directory. Closing twice is allowed.

        Raises WriteFailed when accepted writes could not be brought to disk.
        """
        if self._closed:
            # Whoever closes it, after an interrupt perhaps, may not have let go of the directory yet.
            with self._closing:
                return
        self._keeper.call(self._close)
        if self._owns_threads:
            self._threads.stop()

    def _close(self) -> None:
        with self._closing:
            if self._closed:
                return
            try:
                self._context.writes.close()
                self._context.caches.close()
                self._recall.stop()
                if self.following is not None:
                    self.following.stop()
                self._maintenance.stop()
                self._mend_log()
            finally:
                self._closed = True
                # No circle of references is left: what it held goes with the last reference to it.
                self.reads.samples = None
                try:
                    with self._context.writes.lock:
                        self._context.log.close()
                finally:
                    if self._context.remote is not None:
                        self._context.remote.close()
                    self._context.memory.close()
                    self._lock.release()

    def _mend_log(self) -> None:
        """Seal what stands in memory alone; what cannot be done is reported by whoever closes the log."""
        log = self._context.log
        if not log.breaker.closed:
            with self._context.writes.lock:
                log.probe()
        if log.breaker.closed and log.has_hole:
            self._maintenance.flush()

    def disinherit(self, owner: int) -> None:
        """In a forked child: take this engine, which process `owner` opened, out of use. Nothing is touched."""
        parts = dict(vars(self))
        self._closed, self._closing = True, threading.RLock()
        self.refusal = refusal_of_inherited(self.directory, owner)
        for name in PARTS:
            setattr(self, name, Inherited(parts, self.refusal))

    def let_go(self) -> None:
        """Close an engine that nobody will close, whichever thread comes to know that; errors go to the log."""
        if self._closed:
            return
        if WORK.is_here or SYNCS.is_here or RECALL.is_here or FOLLOWS.is_here:
            # It cannot wait for its own end, and may be in the midst of something.
            start_new_thread(close_quietly, (self,))
        else:
            close_quietly(self)


def open_engine(
    path: Path | str,
    options: EngineOptions,
    *,
    filesystem: FileSystem | None = None,
    clock: Clock | None = None,
    builder: Builder | None = None,
    memory: MemoryBudget | None = None,
    threads: JobThreads | None = None,
) -> Engine:
    """Open or create the database in directory `path`, recovering what the last owner acknowledged.

    `filesystem`, `clock` and `builder` are the real ones unless given, and `threads` its own. What it holds is
    charged to `memory`; without, only the options bound it.

    Raises DataDamaged, DataDirInUse, DataDirMismatch, WriteFailed, and StorageError for what else the disk refuses.
    """
    filesystem = filesystem or LocalFileSystem()
    try:
        directory = Path(path).absolute()
    except OSError as error:  # the working directory is gone
        raise opening_error(error, Path(path)) from error
    try:
        make_directories(filesystem, directory)
        lock = lock_directory(filesystem, directory)
        try:
            builder = builder or ProcessBuilder(filesystem)
            context, report = recovered(
                filesystem, directory, options, clock or SystemClock(), builder, EngineMemory(memory, options)
            )
            return Engine(context, lock, report, threads)
        except BaseException:
            lock.release()
            raise
    except OSError as error:
        raise opening_error(error, directory) from error
