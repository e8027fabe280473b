"""Merging: few segments instead of many, and the space of deleted rows given back.

Ordered by size, a segment is merged with all smaller ones as soon as those together reach a quarter of it. So
sizes fall by a factor from one segment to the next, there are O(log n) of them, and a row is inserted into a
graph again only when its segment at least doubles (the logarithmic method of Bentley and Saxe, J. Algorithms
1(4), 1980; the size-tiered compaction of log-structured stores). The larger graph is extended rather than built
again, unless too many of its rows are deleted.

Only rows deleted at the MANIFEST's sealed position are left out: the MANIFEST must go on describing exactly the
state at that position. Rows deleted later stay in it as deleted.

A merge copies rows and metadata piece by piece, but a graph is in memory whole while it is built. So only as many
segments are merged as there is memory for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
from pyroaring import BitMap

from pykyro.engine.context import EngineContext
from pykyro.engine.maintenance.build_protocol import MergeRequest
from pykyro.engine.maintenance.builder import Build
from pykyro.engine.maintenance.segment_builder import MergeInput, MergeJob
from pykyro.engine.maintenance.tier_sealing import write_deleted
from pykyro.engine.state import Version
from pykyro.engine.tiers.cold_segment import ColdSegment
from pykyro.memory.account import Charge
from pykyro.memory.budget import Kind, mebibytes
from pykyro.model.errors import ResourceExhausted
from pykyro.model.limits import GRAPH_ROWS_MIN
from pykyro.storage import filename
from pykyro.storage.manifest import Manifest

SIZE_RATIO: Final = 4
DELETED_SHARE_MAX: Final = 0.25
"""A graph with more deleted rows than this is built again: deleted rows are walked through and never returned."""


@dataclass(slots=True)
class _Running:
    job: MergeJob
    segments: list[ColdSegment]
    build: Build
    charge: Charge
    """Of the memory that the build takes."""
    whole: bool
    """Whether these were all segments, and no deleted row stays."""


class Progress(Enum):
    """What one step of a compaction came to."""

    DONE = "done"
    MOVED = "moved"
    WAITS = "waits"


class Merging:
    """At most one merge at a time; its build runs beside everything else."""

    def __init__(self, context: EngineContext) -> None:
        self._context = context
        self._running: _Running | None = None
        self._nothing_due_in: Version | None = None
        self.count = 0

    @property
    def running(self) -> bool:
        return self._running is not None

    @property
    def due(self) -> bool:
        """Whether a merge is under way or should be."""
        return self.running or bool(choose_segments(self._context.state.version.cold))

    def step(self) -> bool:
        """Start a merge that is due, or install one that is done; whether anything happened.

        Raises WriteFailed, BuildFailed, DataDamaged; then the merge is forgotten and may be chosen again.
        """
        try:
            if self._running is None:
                return self._context.state.version is not self._nothing_due_in and self._start()
            if not self._running.build.done():
                return False
            running, self._running = self._running, None
            running.charge.give_back()
            try:
                self._install(running)
            except BaseException:
                # The next try writes files of another number; these must not pile up.
                self._context.manifests.abandon(filename.segment_files(running.job.number))
                raise
        except OSError as error:
            raise self._context.write_failed(error, "merging") from error
        return True

    def compact(self) -> Progress:
        """One step on the way to a single segment without deleted rows, or to as few as there is memory for.

        Raises what `step` raises, and ResourceExhausted when there is no memory to leave out any deleted rows.
        """
        running, segments = self._running, self._context.state.version.cold
        if running is not None:
            if not self.step():
                return Progress.WAITS
            return Progress.DONE if running.whole else Progress.MOVED
        if self._context.builder.merges:
            return Progress.WAITS
        choices = list(_compactions(segments))
        for chosen in choices:
            if self._context.memory.budget.has_room(Kind.CAN_WAIT, self._need(chosen)):
                whole = len(chosen) == len(segments)
                self._begin(chosen, extends=len(chosen) > 1 and _may_grow(chosen[0], 0.0), whole=whole)
                return Progress.MOVED
        deleted = sum(len(segment.checkpoint_deleted) for segment in segments)
        if choices and deleted:
            raise ResourceExhausted(
                f"{deleted} deleted rows stay in {len(segments)} segments: to build the graph of one of them again "
                f"takes {mebibytes(min(map(self._need, choices)))}, and there is no room for it; compact again "
                f"later, or raise memory.limit"
            )
        return Progress.DONE

    def cancel(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.build.cancel()
            running.charge.give_back()

    def _that_fit(self, chosen: list[ColdSegment]) -> list[ColdSegment]:
        """Those of the chosen, without the largest, that can be merged in the memory there is; perhaps none."""
        budget = self._context.memory.budget
        if budget.has_room(Kind.CAN_WAIT, self._need(chosen)):
            return chosen
        for at in range(1, len(chosen) - 1):
            if budget.has_room(Kind.CAN_WAIT, self._need(chosen[at:])):
                return chosen[at:]
        return []

    def _need(self, segments: Sequence[ColdSegment]) -> int:
        return self._context.memory.build_bytes(sum(segment.rows for segment in segments))

    def _start(self) -> bool:
        version = self._context.state.version
        chosen = choose_segments(version.cold)
        if not chosen:
            # Which segments to merge depends on what the version is made of, and no version ever changes.
            self._nothing_due_in = version
            return False
        segments = self._that_fit(chosen)
        if not segments or self._context.builder.merges:
            return False
        extends = len(segments) > 1 and _may_grow(segments[0], DELETED_SHARE_MAX)
        self._begin(segments, extends=extends, whole=False)
        return True

    def _begin(self, segments: list[ColdSegment], *, extends: bool, whole: bool) -> None:
        """Start to merge these, largest first; `extends` says that the graph of the largest is grown."""
        # A merge needs at least a row of each: a graph cannot be grown by none.
        empty = [segment for segment in segments if len(segment.checkpoint_deleted) == segment.rows]
        if empty:
            self._drop(empty)
            return
        inputs = [
            MergeInput(
                segment.entry.model_copy(update={"dead": None, "dead_count": 0}),
                np.array(segment.checkpoint_deleted, dtype=np.uint32),
                segment.covers,
            )
            for segment in segments
        ]
        if extends:
            inputs[0] = MergeInput(inputs[0].entry, np.empty(0, np.uint32), inputs[0].covers)
        context = self._context
        job = MergeJob(context.manifests.take_number(), tuple(inputs), extends)
        request = MergeRequest(
            str(context.directory), job, context.options.graph, context.options.build_threads
        )
        charge = context.memory.builds.charge(self._need(segments))
        try:
            self._running = _Running(job, segments, context.builder.start(request), charge, whole)
        except BaseException:
            charge.give_back()
            context.manifests.abandon(filename.segment_files(job.number))
            raise

    def _drop(self, segments: Sequence[ColdSegment]) -> None:
        """Segments without a live row simply leave."""
        numbers = {segment.entry.number for segment in segments}

        def change(manifest: Manifest) -> Manifest:
            kept = tuple(entry for entry in manifest.segments if entry.number not in numbers)
            return manifest.model_copy(update={"segments": kept})

        obsolete = self._context.change_manifest(change)
        with self._context.writes.lock:
            self._context.state.replace(leaving=segments)
        self._context.remove_files(obsolete)
        self.count += 1

    def _install(self, running: _Running) -> None:
        context = self._context
        entry = running.build.result()
        deleted = _deleted_in_merged(running, [segment.checkpoint_deleted for segment in running.segments])
        if deleted:
            entry = entry.model_copy(
                update={"dead": write_deleted(context, entry.number, deleted), "dead_count": len(deleted)}
            )
            context.filesystem.sync_directory(context.directory)
        merged = context.open_new_segment(entry)
        numbers = {segment.entry.number for segment in running.segments}

        def change(manifest: Manifest) -> Manifest:
            kept = tuple(known for known in manifest.segments if known.number not in numbers)
            return manifest.model_copy(update={"segments": (*kept, entry)})

        obsolete = context.change_manifest(change)
        with context.writes.lock:
            for row in _deleted_in_merged(running, [segment.deleted for segment in running.segments]):
                merged.delete(row)
            context.state.replace(leaving=running.segments, arriving=merged)
        context.remove_files(obsolete)
        self.count += 1


def choose_segments(segments: Sequence[ColdSegment]) -> list[ColdSegment]:
    """Which segments to merge now, largest first; empty when nothing needs merging."""
    by_size = sorted(segments, key=lambda segment: segment.rows, reverse=True)
    smaller = sum(segment.rows for segment in by_size)
    for at, segment in enumerate(by_size):
        smaller -= segment.rows
        if smaller and smaller * SIZE_RATIO >= segment.rows:
            return by_size[at:]
    return [
        segment
        for segment in by_size
        if _deleted_share(segment) >= DELETED_SHARE_MAX or _is_old(segment) or _lacks_graph(segment)
    ][:1]


def _compactions(segments: Sequence[ColdSegment]) -> Iterator[list[ColdSegment]]:
    """What a compaction may merge, the best first: everything, all but the largest, one with deleted rows."""
    by_size = sorted(segments, key=lambda segment: segment.rows, reverse=True)
    for at in range(len(by_size) - 1):
        yield by_size[at:]
    for segment in by_size:
        if segment.checkpoint_deleted or _is_old(segment) or _lacks_graph(segment):
            yield [segment]


def _may_grow(segment: ColdSegment, deleted_share_max: float) -> bool:
    """Whether the graph of a segment may be grown by others, its deleted rows included."""
    share = _deleted_share(segment)
    return segment.shape is not None and (share < deleted_share_max or share == 0)


def _is_old(segment: ColdSegment) -> bool:
    """Whether its graph is one of an earlier version, whose codes lose what nearly equal rows differ in."""
    return segment.graph is not None and segment.shape is None


def _lacks_graph(segment: ColdSegment) -> bool:
    """Whether it was sealed when memory was too short for building a graph."""
    return segment.graph is None and segment.rows >= GRAPH_ROWS_MIN


def _deleted_share(segment: ColdSegment) -> float:
    return len(segment.checkpoint_deleted) / segment.rows


def _deleted_in_merged(running: _Running, deleted: Sequence[BitMap]) -> BitMap:
    """Deleted rows of the inputs as rows of the merged segment; those left behind have none."""
    merged = BitMap()
    offset = 0
    for item, rows in zip(running.job.inputs, deleted, strict=True):
        kept = item.kept_rows()
        still_there = np.array(rows - BitMap(item.dropped), dtype=np.int64)
        merged.update((np.searchsorted(kept, still_there) + offset).tolist())
        offset += len(kept)
    return merged
