"""A frozen hot tier becomes a cold segment; of an open engine, or of one that is being recovered.

build    the .rows file here, piece by piece; the graph in the build process, as far as there is room for that
install  MANIFEST first, which makes it true on disk; then the swap in memory, under the write lock
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import numpy as np
from pyroaring import BitMap

from pykyro.engine.context import SegmentContext
from pykyro.engine.maintenance.build_protocol import GraphRequest
from pykyro.engine.maintenance.builder import Build, BuildFailed
from pykyro.engine.maintenance.segment_builder import rows_of_tier, without_graph
from pykyro.engine.state import State
from pykyro.engine.tiers.cold_segment import ColdSegment
from pykyro.engine.tiers.hot_tier import HotTier
from pykyro.memory.budget import Kind
from pykyro.model.limits import GRAPH_ROWS_MIN
from pykyro.model.types import LSN, Rows
from pykyro.storage import filename
from pykyro.storage.manifest import FileEntry, Manifest, SegmentEntry
from pykyro.storage.request_keys import Acknowledged, write_request_keys
from pykyro.storage.segment.writer import write_deleted_rows, write_rows
from pykyro.storage.wal.retention import kept_wal, retained_bytes_max


@dataclass(slots=True)
class FrozenTier:
    """What is to be sealed: a hot tier, its rows alive at the freeze, and the deleted rows of every segment then."""

    tier: HotTier
    live_rows: Rows
    lsn: LSN
    deleted: dict[int, BitMap]
    keys: list[Acknowledged]
    """Idempotency keys acknowledged up to there."""
    hidden: BitMap = field(default_factory=BitMap)
    """Rows elsewhere that were deleted at the freeze."""
    token: str = field(default_factory=lambda: os.urandom(8).hex())
    """By which a seal is known where it is done elsewhere."""


def freeze(state: State, lsn: LSN) -> FrozenTier:
    """Set the active tier aside, which holds what was written up to `lsn`. For the writer."""
    tier = state.freeze()
    tier.charge()
    deleted = {segment.entry.number: segment.deleted.copy() for segment in state.version.cold}
    remote = state.version.remote
    hidden = BitMap() if remote is None else remote.hidden.copy()
    return FrozenTier(tier, tier.live_rows(), lsn, deleted, state.keys.all(), hidden)


def sealing_of(context: SegmentContext) -> TierSealing:
    """What seals the tiers of this engine."""
    if context.remote is None:
        return TierSealing(context)
    from pykyro.engine.remote.sealing import RemoteSealing  # which knows psycopg

    return RemoteSealing(context, context.remote.claim)


class TierSealing:
    """One seal at a time."""

    def __init__(self, context: SegmentContext) -> None:
        self._context = context
        self._building: Build | None = None
        self._stopping = False

    def stop(self) -> None:
        """Give up what is being built now and later. From any thread; a seal under way fails then."""
        self._stopping = True
        building = self._building
        if building is not None:
            building.cancel()

    def go_on(self) -> None:
        """Seal again after a `stop`."""
        self._stopping = False

    def seal(self, frozen: FrozenTier, wal_retention_bytes: int | None) -> set[str]:
        """Make a segment of the tier; the names of files that became obsolete. So much of the log that is sealed
        stays; all of it with None.

        Raises Unavailable, BuildFailed, OSError; then it can be called again.
        """
        number = self._context.manifests.take_number()
        try:
            entry = self._build(frozen, number)
            keys = self._write_keys(frozen, number)
            return self._install(frozen, entry, self._write_deleted(frozen), keys, wal_retention_bytes)
        except BaseException:
            # The next try writes files of another number; these must not pile up on a disk that is full.
            self._context.manifests.abandon(filename.segment_files(number))
            raise

    def _build(self, frozen: FrozenTier, number: int) -> SegmentEntry | None:
        """Write the files of the new segment; None when no document is left to put into one."""
        rows = frozen.live_rows
        if not len(rows):
            return None
        context = self._context
        contents = rows_of_tier(
            frozen.tier, rows, context.options.dimension, context.memory.sections_bytes, self._check_stopping
        )
        rows_file = write_rows(context.filesystem, context.directory, number, contents)
        request = GraphRequest(
            directory=str(context.directory),
            number=number,
            rows=rows_file,
            row_count=len(rows),
            parameters=context.options.graph,
            threads=context.options.build_threads,
        )
        need = context.memory.build_bytes(len(rows))
        if len(rows) >= GRAPH_ROWS_MIN and not context.memory.budget.has_room(Kind.RELIEF, need):
            # Sealing is what makes room. A merge builds the graph, when there is some.
            return without_graph(number, rows_file, len(rows))
        with context.memory.builds.charge(need if len(rows) >= GRAPH_ROWS_MIN else 0):
            return self._result_of(context.builder.start(request))

    def _check_stopping(self) -> None:
        if self._stopping:
            raise BuildFailed("the build was cancelled")

    def _result_of(self, build: Build) -> SegmentEntry:
        self._building = build
        try:
            if self._stopping:
                build.cancel()
            return build.result()
        finally:
            self._building = None

    def _write_deleted(self, frozen: FrozenTier) -> dict[int, SegmentEntry]:
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

    def _write_keys(self, frozen: FrozenTier, number: int) -> FileEntry | None:
        """The file of idempotency keys: that which is there, unless keys have come since."""
        context, known = self._context, self._context.manifests.current
        if not frozen.keys or (known.keys is not None and frozen.keys[-1].position <= known.sealed_lsn):
            return known.keys
        return write_request_keys(context.filesystem, context.directory, number, frozen.keys)

    def _retained_bytes(self, lsn: LSN, wanted: int) -> int:
        context = self._context
        entries = context.manifests.current.wal
        return retained_bytes_max(context.filesystem, context.directory, entries, lsn, wanted)

    def _install(
        self,
        frozen: FrozenTier,
        entry: SegmentEntry | None,
        changed: dict[int, SegmentEntry],
        keys: FileEntry | None,
        retention: int | None,
    ) -> set[str]:
        """Make the segment part of the database; the names of files it made obsolete."""
        context = self._context
        context.filesystem.sync_directory(context.directory)
        retained = None if retention is None else self._retained_bytes(frozen.lsn, retention)

        def change(manifest: Manifest) -> Manifest:
            segments = tuple(changed.get(known.number, known) for known in manifest.segments)
            if entry is not None:
                segments += (entry,)
            return manifest.model_copy(
                update={
                    "segments": segments,
                    "wal": manifest.wal if retained is None else kept_wal(manifest.wal, frozen.lsn, retained),
                    "sealed_lsn": frozen.lsn,
                    "keys": keys,
                }
            )

        segment = None
        if entry is not None:
            segment = context.open_new_segment(entry)
        obsolete = context.change_manifest(change)
        with context.lock:
            for known in context.state.version.cold:
                if known.entry.number in changed:
                    known.entry = changed[known.entry.number]
                    known.checkpoint_deleted = frozen.deleted[known.entry.number]
            if segment is not None:
                _apply_deletes(frozen, segment)
            context.state.replace(leaving=[frozen.tier], arriving=segment)
        return obsolete


def write_deleted(context: SegmentContext, number: int, rows: BitMap) -> FileEntry:
    """Write the rows of a segment that are deleted at a checkpoint."""
    version = context.manifests.take_number()
    return write_deleted_rows(context.filesystem, context.directory, number, version, list(rows))


def _apply_deletes(frozen: FrozenTier, segment: ColdSegment) -> None:
    """Rows deleted in the frozen tier while the segment was built are deleted in the segment too."""
    now_live = frozen.tier.live_rows()
    for position in np.flatnonzero(~np.isin(frozen.live_rows, now_live)):
        segment.delete(int(position))
