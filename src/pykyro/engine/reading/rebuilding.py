"""The state of a reader, made from the segments of a MANIFEST and the log behind them, as recovery makes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pykyro.engine.memory import EngineMemory
from pykyro.engine.opening import state_of
from pykyro.engine.options import EngineOptions
from pykyro.engine.state import State
from pykyro.engine.tiers.cold_segment import ColdSegment
from pykyro.engine.tiers.hot_tier import HotTier
from pykyro.engine.tiers.open_segment import open_segment
from pykyro.model.types import LSN, Key
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.log_feed import BrokenOff, LogFeed
from pykyro.storage.manifest import Manifest, SegmentEntry, require_local
from pykyro.storage.segment.reader import open_deleted_rows
from pykyro.storage.wal.format import OPERATION, SEAL
from pykyro.storage.wal.records import Record

READING: Final = "reading the documents"
"""What is refused while they are elsewhere."""
_TRIES: Final = 100
"""The writer replaces files once in a while; a reader that meets it so often in a row does not meet a writer."""

Known = Mapping[int, ColdSegment]


@dataclass(slots=True)
class Unsealed:
    """What a reader notes of the log behind the sealed position, so that it can take over a seal or a merge without
    reading that log again. The writer freezes its hot tier where a log segment ends, and so does the reader."""

    touched: deque[tuple[LSN, Key]] = field(default_factory=deque)
    """Position and key of each record. Whatever it does, it ends the row of that document in a segment."""
    frozen: list[tuple[LSN, HotTier]] = field(default_factory=list)
    """Hot tiers that hold what was written up to a position, behind the tier before."""

    def note(self, lsn: LSN, records: Sequence[Record]) -> None:
        for record in records:
            self.touched.append((lsn, record.key))

    def log_segment_ended(self, lsn: LSN, state: State) -> None:
        """The log segment ends at this position. For the writer of `state`."""
        if state.version.active.rows:
            tier = state.freeze()
            tier.charge()
            self.frozen.append((lsn, tier))
        elif self.frozen:
            # Nothing but a position lies between.
            self.frozen[-1] = lsn, self.frozen[-1][1]

    def forget(self, sealed_lsn: LSN) -> None:
        """Everything up to there is in segments."""
        while self.touched and self.touched[0][0] <= sealed_lsn:
            self.touched.popleft()
        self.frozen = [one for one in self.frozen if one[0] > sealed_lsn]


def rebuilt(
    filesystem: FileSystem,
    directory: Path,
    options: EngineOptions,
    memory: EngineMemory,
    known: Known,
    until: LSN | None,
) -> tuple[State, LogFeed, Unsealed]:
    """What the directory holds, up to position `until` if its log has that, else to its end; and its log behind that.

    Files of the segments that are `known`, by number, are not opened again.

    Raises DataDamaged, DataDirMismatch, OSError.
    """
    for _ in range(_TRIES):
        feed = LogFeed(filesystem, directory)
        try:
            state = _opened(filesystem, directory, options, memory, known, feed.manifest)
            unsealed = _replay(state, feed, directory, until)
        except (FileNotFoundError, BrokenOff) as error:
            failure = error
            # Only while a newer MANIFEST stands there did the writer do this.
            if not feed.is_outdated:
                break
        else:
            return state, feed, unsealed
    raise _as_missing(failure, directory)


def _as_missing(error: Exception, directory: Path) -> Exception:
    if isinstance(error, OSError):
        return error
    return FileNotFoundError(2, str(error), str(directory / "MANIFEST"))


def _opened(
    filesystem: FileSystem,
    directory: Path,
    options: EngineOptions,
    memory: EngineMemory,
    known: Known,
    manifest: Manifest,
) -> State:
    require_local(manifest, directory, READING)
    segments = []
    for entry in manifest.segments:
        before = known.get(entry.number)
        if before is not None and same_files(before.entry, entry):
            segments.append(before.with_deleted(entry, open_deleted_rows(filesystem, directory, entry)))
        else:
            covers = manifest.sealed_lsn
            segments.append(
                open_segment(filesystem, directory, entry, options.metric, memory=memory, covers=covers)
            )
    return state_of(manifest, segments, options, memory)


def same_files(one: SegmentEntry, other: SegmentEntry) -> bool:
    """Whether two entries differ in their deleted rows at most."""
    return (one.rows, one.graph, one.shape) == (other.rows, other.graph, other.shape)


def _replay(state: State, feed: LogFeed, directory: Path, until: LSN | None) -> Unsealed:
    unsealed = Unsealed()
    if state.position == until:
        return unsealed
    for frame in feed.frames():
        if frame.kind == OPERATION:
            records = feed.records(frame)
            state.may_expire = state.may_expire or feed.manifest.has_expiry
            state.tenants.count(feed.manifest.tenants.values(), state.version.oldest_first)
            state.replay(frame.lsn, records, directory)
            unsealed.note(frame.lsn, records)
        elif frame.kind == SEAL:
            unsealed.log_segment_ended(frame.lsn, state)
        state.position = frame.lsn
        if frame.lsn == until:
            break
    state.version.active.charge()
    return unsealed
