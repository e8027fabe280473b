"""Sealing: the hot tier becomes a cold segment, and recovery no longer needs the log before it.

    freeze   under the write lock: rotate the log, set the active tier aside, note which rows of every segment
             are deleted at this position
    build    the .rows file here, the graph in the build process
    install  MANIFEST first, which makes it true on disk; then the swap in memory, under the write lock
    clean    remove what the MANIFEST no longer names

The state that the MANIFEST describes is exactly the one at the freeze: rows deleted while the build runs are
deleted in memory only, for the log says so again after a crash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from pyroaring import BitMap

from pykyro.engine.context import EngineContext
from pykyro.engine.maintenance.build_protocol import GraphRequest
from pykyro.engine.maintenance.builder import Build
from pykyro.engine.maintenance.segment_builder import rows_to_write
from pykyro.engine.options import SEAL_ROWS
from pykyro.engine.tiers.cold_segment import ColdSegment
from pykyro.engine.tiers.hot_tier import HotTier
from pykyro.model.types import LSN, Rows
from pykyro.storage import filename
from pykyro.storage.manifest import FileEntry, Manifest, SegmentEntry
from pykyro.storage.segment.writer import write_deleted_rows, write_rows
from pykyro.storage.wal.retention import kept_wal, retained_bytes_max

BURST_PER_S: Final = 4000.0
"""Faster than this, documents arrive in bulk: then they are sealed in fewer and larger segments, which are merged
less often, and the processors are left to what brings them in."""
BURST_FACTOR: Final = 4
_OBSERVATION_S: Final = 0.02


@dataclass(slots=True)
class _FrozenTier:
    """What is to be sealed: a hot tier, its rows alive at the freeze, and the deleted rows of every segment then."""

    tier: HotTier
    live_rows: Rows
    lsn: LSN
    deleted: dict[int, BitMap]


class Sealing:
    """One seal at a time; the caller holds the maintenance lock. A seal that failed is taken up again."""

    def __init__(self, context: EngineContext) -> None:
        self._context = context
        self._frozen: _FrozenTier | None = None
        self._building: Build | None = None
        self._stopping = False
        self._sealed_s = context.clock.monotonic_s()
        self.count = 0
        self._in_burst = False
        self._observed = (context.clock.monotonic_s(), context.state.position)

    def observe(self) -> None:
        """See how fast documents arrive. Called again and again by whoever waits for `due`."""
        now_s, position = self._context.clock.monotonic_s(), self._context.state.position
        then_s, then = self._observed
        if now_s - then_s >= _OBSERVATION_S:
            self._in_burst = (position - then) / (now_s - then_s) >= BURST_PER_S
            self._observed = (now_s, position)

    @property
    def due(self) -> bool:
        """Whether something is frozen, or the hot tier is full, much changed or old enough."""
        options, state = self._context.options, self._context.state
        mutations, active = state.mutations_since_freeze, state.version.active
        if self._frozen is not None or not mutations:
            return self._frozen is not None
        rows_max = min(options.hot_rows_max, SEAL_ROWS * (BURST_FACTOR if self._in_burst else 1))
        return (
            self._context.log.has_hole
            or active.rows >= rows_max
            # Later, writers would wait for room that nobody makes.
            or active.size_bytes >= options.hot_bytes_max // 2
            or 0 < options.mutations_per_checkpoint <= mutations
            or self._context.clock.monotonic_s() - self._sealed_s >= options.hot_age_max_s
        )

    @property
    def interrupted(self) -> bool:
        """Whether a seal failed and is to be taken up again."""
        return self._frozen is not None

    def stop(self) -> None:
        """Give up what is being built now and later. From any thread; a seal under way fails then."""
        self._stopping = True
        building = self._building
        if building is not None:
            building.cancel()

    def seal(self) -> int:
        """Freeze, build, install, clean; how many documents moved. Nothing to do is no error.

        Raises WriteFailed, Unavailable, BuildFailed, OSError; then it can be called again.
        """
        frozen = self._frozen = self._frozen or self._freeze()
        if frozen is None:
            return 0
        context = self._context
        try:
            obsolete = self._build_and_install(frozen)
        except OSError as error:
            raise context.write_failed(error, "sealing") from error
        self._frozen = None
        context.log.has_hole = False
        self._sealed_s = context.clock.monotonic_s()
        self.count += 1
        context.remove_files(obsolete)
        with context.writes.room:
            context.writes.room.notify_all()
        return len(frozen.live_rows)

    def _build_and_install(self, frozen: _FrozenTier) -> set[str]:
        number = self._context.manifests.take_number()
        try:
            entry = self._build(frozen, number)
            return self._install(frozen, entry, self._write_deleted(frozen))
        except BaseException:
            # The next try writes files of another number; these must not pile up on a disk that is full.
            self._context.manifests.abandon(filename.segment_files(number))
            raise

    def _freeze(self) -> _FrozenTier | None:
        context = self._context
        with context.writes.lock:
            if context.state.mutations_since_freeze == 0:
                return None
            lsn = context.log.rotate()
            context.state.position = lsn
            tier = context.state.freeze()
            deleted = {segment.entry.number: segment.deleted.copy() for segment in context.state.version.cold}
            return _FrozenTier(tier, tier.live_rows(), lsn, deleted)

    def _build(self, frozen: _FrozenTier, number: int) -> SegmentEntry | None:
        """Write the files of the new segment; None when no document is left to put into one."""
        rows = frozen.live_rows
        if not len(rows):
            return None
        context = self._context
        doc_ids, vectors, norms = frozen.tier.columns_of(rows)
        metadata = [frozen.tier.metadata(int(row)) for row in rows]
        owners = frozen.tier.owners_of(rows)
        contents = rows_to_write(doc_ids, owners, norms, metadata, [vectors], context.options.dimension)
        rows_file = write_rows(context.filesystem, context.directory, number, contents)
        request = GraphRequest(
            directory=str(context.directory),
            number=number,
            rows=rows_file,
            row_count=len(rows),
            parameters=context.options.graph,
            threads=context.options.build_threads,
        )
        return self._result_of(context.builder.start(request))

    def _result_of(self, build: Build) -> SegmentEntry:
        self._building = build
        try:
            if self._stopping:
                build.cancel()
            return build.result()
        finally:
            self._building = None

    def _write_deleted(self, frozen: _FrozenTier) -> dict[int, SegmentEntry]:
        """New entries of the segments that lost rows since their last checkpoint."""
        changed = {}
        for segment in self._context.state.version.cold:
            deleted = frozen.deleted.get(segment.entry.number)
            if deleted is not None and deleted != segment.checkpoint_deleted:
                file = write_deleted(self._context, segment.entry.number, deleted)
                changed[segment.entry.number] = segment.entry.model_copy(
                    update={"dead": file, "dead_count": len(deleted)}
                )
        return changed

    def _install(
        self, frozen: _FrozenTier, entry: SegmentEntry | None, changed: dict[int, SegmentEntry]
    ) -> set[str]:
        """Make the segment part of the database; the names of files it made obsolete."""
        context = self._context
        context.filesystem.sync_directory(context.directory)
        retained = retained_bytes_max(
            context.filesystem,
            context.directory,
            context.manifests.current.wal,
            frozen.lsn,
            context.options.wal_retention_bytes,
        )

        def change(manifest: Manifest) -> Manifest:
            segments = tuple(changed.get(known.number, known) for known in manifest.segments)
            if entry is not None:
                segments += (entry,)
            wal = kept_wal(manifest.wal, frozen.lsn, retained)
            return manifest.model_copy(update={"segments": segments, "wal": wal, "sealed_lsn": frozen.lsn})

        segment = None
        if entry is not None:
            segment = context.open_new_segment(entry)
        obsolete = context.change_manifest(change)
        with context.writes.lock:
            for known in context.state.version.cold:
                if known.entry.number in changed:
                    known.entry = changed[known.entry.number]
                    known.checkpoint_deleted = frozen.deleted[known.entry.number]
            if segment is not None:
                _apply_deletes(frozen, segment)
            context.state.replace(leaving=[frozen.tier], arriving=segment)
        return obsolete


def write_deleted(context: EngineContext, number: int, rows: BitMap) -> FileEntry:
    """Write the rows of a segment that are deleted at a checkpoint."""
    version = context.manifests.take_number()
    return write_deleted_rows(context.filesystem, context.directory, number, version, list(rows))


def _apply_deletes(frozen: _FrozenTier, segment: ColdSegment) -> None:
    """Rows deleted in the frozen tier while the segment was built are deleted in the segment too."""
    now_live = frozen.tier.live_rows()
    for position in np.flatnonzero(~np.isin(frozen.live_rows, now_live)):
        segment.delete(int(position))
