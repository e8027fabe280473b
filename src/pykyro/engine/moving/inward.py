"""From a table to segments here, while everything goes on.

    copy      the rows of the table, by their numbers, into segments with graphs; what is sealed meanwhile has higher
              numbers, so it comes by itself
    switch    while nothing is sealed: the last rows; which rows of the new segments are dead; every live row is
              there; then MANIFEST, which makes it true; then the swap in memory
    clean     MOVING names the table that is left; it is dropped

Killed before MANIFEST, the documents are there, and what was copied here goes at the next start: a move back begins
anew. Killed after, they are here, and the table that is left is dropped by the next move, or with the collection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from psycopg import sql
from pyroaring import BitMap

from pykyro.engine.context import EngineContext
from pykyro.engine.maintenance.maintenance import Maintenance
from pykyro.engine.maintenance.tier_sealing import FrozenTier, TierSealing, write_deleted
from pykyro.engine.remote.remote_tier import RemoteTier
from pykyro.engine.remote.schema import rows_table
from pykyro.engine.remote.table import DOCUMENT
from pykyro.engine.tiers.hot_tier import HotTier
from pykyro.engine.tiers.stored_metadata import StoredMetadata
from pykyro.model.errors import FailedPrecondition, ResourceExhausted, Unavailable
from pykyro.model.requests import MoveReport
from pykyro.model.types import key_of_owner
from pykyro.storage import filename
from pykyro.storage.manifest import Manifest, SegmentEntry
from pykyro.storage.move_note import MoveNote, write_move_note

_log: Final = logging.getLogger(__name__)
_READ_TOGETHER: Final = 512
_SEGMENT_BYTES: Final = 64 << 20
"""A segment is built of so much: later ones are merged as any."""
_LITTLE: Final = 2000

_Numbers = npt.NDArray[np.uint32]


class _Building(TierSealing):
    """Makes segments of tiers that are no part of the state."""

    def build(self, tier: HotTier) -> SegmentEntry:
        """Raises Unavailable, BuildFailed, OSError."""
        number = self._context.manifests.take_number()
        try:
            entry = self._build(FrozenTier(tier, tier.live_rows(), 0, {}, []), number)
        except BaseException:
            self._context.manifests.abandon(filename.segment_files(number))
            raise
        assert entry is not None
        return entry


class Inward:
    """One move. `call` runs what no signal handler may tear."""

    def __init__(
        self,
        context: EngineContext,
        maintenance: Maintenance,
        call: Callable[[Callable[[], None]], None],
        on_step: Callable[[str], None],
    ) -> None:
        self._context = context
        self._maintenance = maintenance
        self._call = call
        self._on_step = on_step
        self._building = _Building(context)
        self._built: list[tuple[SegmentEntry, _Numbers]] = []
        """Segments, and the row of the table that each of their rows was."""
        self._next = 0
        """Rows of the table below were read."""

    def move(self) -> MoveReport:
        """Raises RemoteAway, Unavailable, FailedPrecondition, ResourceExhausted, BuildFailed, OSError."""
        context = self._context
        try:
            while self._tier.entry.rows_end - self._next > _LITTLE:
                self._copy_some()
                _log.info("%s: rows up to %d of the table are here", context.directory, self._next)
                self._on_step("copied")
            self._step(self._maintenance.flush)
            self._on_step("switch")
            documents = 0

            def switch() -> None:
                nonlocal documents
                documents = self._switch()

            self._call(switch)
        except BaseException:
            for entry, _ in self._built:
                context.manifests.abandon(filename.segment_files(entry.number))
            raise
        return MoveReport(documents, sum(entry.row_count for entry, _ in self._built), documents, 0.0)

    @property
    def _tier(self) -> RemoteTier:
        tier = self._context.state.version.remote
        assert tier is not None
        return tier

    def _step(self, work: Callable[[], object]) -> None:
        with self._maintenance.moving:
            if self._maintenance.stopping:
                raise Unavailable("the database is being closed; move it when it is open again")
            work()

    def _copy_some(self) -> None:
        """One segment, of the next rows."""
        context, numbers = self._context, list[int]()
        if refusal := context.disk.room().refusal:
            raise ResourceExhausted(refusal)
        tier = HotTier(context.options.dimension, context.options.metric, context.memory.hot_tier)
        bytes_max = min(_SEGMENT_BYTES, context.memory.hot_bytes_max // 8)
        while self._next < (end := self._tier.entry.rows_end) and tier.size_bytes < bytes_max:
            self._step(lambda end=end: self._read(tier, numbers, end))  # type: ignore[misc]
            tier.charge()
        if numbers:
            kept = np.array(numbers, np.uint32)[tier.live_rows()]
            self._step(lambda: self._built.append((self._building.build(tier), kept)))

    def _read(self, into: HotTier, numbers: list[int], end: int) -> None:
        """The next rows below `end`."""
        table = self._tier.table
        inner = sql.SQL(
            "SELECT {}, r.owner FROM {} r WHERE r.row >= %s AND r.row < %s ORDER BY r.row LIMIT {}"
        ).format(sql.SQL(DOCUMENT), rows_table(table.table), sql.Literal(_READ_TOGETHER))
        found: list[tuple[Any, ...]] = table.ask(inner, [self._next, end], f"{DOCUMENT}, r.owner")
        documents = table.documents(found)
        for at, row in enumerate(documents.rows.tolist()):
            stored = StoredMetadata(documents.public[at], documents.reserved[at])
            key = key_of_owner(int(found[at][6]), int(documents.doc_ids[at]))
            # One that was replaced meanwhile comes twice: then its older row is not alive here.
            into.put(key, documents.vectors[at], stored.whole(), stored.public, int(documents.positions[at]))
            numbers.append(row)
        self._next = int(documents.rows[-1]) + 1 if len(found) == _READ_TOGETHER else end

    def _switch(self) -> int:
        context, maintenance = self._context, self._maintenance
        with maintenance.moving, maintenance.lock:
            if maintenance.stopping:
                raise Unavailable("the database is being closed; move it when it is open again")
            if maintenance.sealing.interrupted:
                maintenance.sealing.seal()
            tier = self._tier
            while self._next < tier.entry.rows_end:
                self._copy_some()
            live: _Numbers = tier.maps.live_rows(BitMap()).astype(np.uint32)
            entries, there = list[SegmentEntry](), 0
            for entry, numbers in self._built:
                dead = BitMap(np.flatnonzero(~np.isin(numbers, live)).astype(np.uint32))
                there += len(numbers) - len(dead)
                if dead:
                    file = write_deleted(context, entry.number, dead)
                    entry = entry.model_copy(update={"dead": file, "dead_count": len(dead)})
                entries.append(entry)
            if there != len(live):
                raise FailedPrecondition(
                    f"the table holds {there} of the {len(live)} documents that are sealed: nothing was moved"
                )
            self._install(tier, entries)
            return there

    def _install(self, tier: RemoteTier, entries: list[SegmentEntry]) -> None:
        context, remote = self._context, self._context.remote
        assert remote is not None
        left = context.manifests.current.remote
        assert left is not None
        context.filesystem.sync_directory(context.directory)
        segments = [context.open_new_segment(entry) for entry in entries]
        write_move_note(context.filesystem, context.directory, MoveNote(entry=left, leaves=True))
        self._on_step("manifest")

        def change(manifest: Manifest) -> Manifest:
            return manifest.model_copy(update={"remote": None, "segments": tuple(entries)})

        obsolete = context.change_manifest(change)
        self._on_step("installed")
        with context.writes.lock:
            hidden = np.array(tier.hidden, np.uint32)
            for segment, (_, numbers) in zip(segments, self._built, strict=True):
                for row in np.flatnonzero(np.isin(numbers, hidden)).tolist():
                    segment.delete(row)
            context.state.settle_elsewhere(None, segments)
            context.remote = None
            context.writes.follow(None)
        self._maintenance.sealing.use(TierSealing(context))
        context.memory.unbound_hot_tier()
        context.remove_files(obsolete)
        remote.close()
