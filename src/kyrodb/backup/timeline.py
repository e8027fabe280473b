"""From backups to any moment in between: which segments to start from, and which part of the log to run.

Each backup of a history is a state at its sealed position and a stretch of the log; where one `continues`
another, their stretches join. So a position can be reached from any sealed position before it, if the log in
between is there without a gap. An instant is the position of the last frame written at or before it.

After a restore, or after the log was removed by hand, positions are given out a second time: another history.
An instant then belongs to the history of the first backup that was made after it; a position to the newest
history that reaches it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kyrodb.backup.catalog import Catalog, Entry
from kyrodb.backup.record import LogSegment, Record
from kyrodb.backup.store import Store
from kyrodb.errors import FailedPrecondition
from kyrodb.types import LSN


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """Segments of `base`, then `log` up to position `lsn`; tenants and usage as `latest` has them."""

    base: Record
    latest: Record
    log: tuple[LogSegment, ...]
    lsn: LSN

    @property
    def archives(self) -> list[str]:
        """Every archive that is read, oldest first."""
        files = {file.archive for file in (*self.base.files, *self.latest.files)}
        return sorted(files | {piece.archive for segment in self.log for piece in segment.pieces})

    @property
    def size_bytes(self) -> int:
        """About what the restored directory will hold."""
        files = sum(file.size_bytes for file in self.base.files)
        return files + sum(segment.end_offset for segment in self.log)


def plan_backup(catalog: Catalog, backup_id: str) -> RestorePlan:
    """The very state of a backup. Raises InvalidArgument when it does not exist, FailedPrecondition."""
    entry = catalog.find(backup_id)
    missing = catalog.missing(entry)
    if missing:
        raise FailedPrecondition(
            f"Parent backup {missing[0]} not found: {backup_id} cannot be restored without it"
        )
    record = entry.record
    return RestorePlan(record, record, record.needed_log, record.position.lsn)


def plan_position(catalog: Catalog, lsn: LSN) -> RestorePlan:
    """The state right after position `lsn`. Raises FailedPrecondition when no backup reaches it."""
    for history in _histories(catalog.entries):
        for latest in history:
            plan = _reach(catalog, latest, lsn) if latest.position.lsn >= lsn else None
            if plan is not None:
                return plan
    raise FailedPrecondition(f"No backup reaches position {lsn}: {_reach_of(catalog)}")


def plan_time(catalog: Catalog, time_us: int, store: Store) -> RestorePlan:
    """The state after the last write at or before the instant, in microseconds of Unix time.

    Raises FailedPrecondition when no backup reaches it, DataDamaged, OSError.
    """
    history = _history_at(catalog, time_us)
    later = [record for record in history if time_us <= max(record.created_us, record.position.time_us)]
    for latest in later or history[-1:]:
        lsn = _lsn_at(catalog, latest, time_us, store)
        plan = _reach(catalog, latest, lsn) if lsn is not None else None
        if plan is not None:
            return plan
    raise FailedPrecondition(f"No full backup found before {instant(time_us)}: {_reach_of(catalog)}")


def instant(time_us: int) -> str:
    """A moment as people write it, in UTC."""
    stamp = datetime.datetime.fromtimestamp(time_us // 1_000_000, datetime.UTC)
    return f"{stamp:%Y-%m-%d %H:%M:%S} UTC"


def _histories(entries: Sequence[Entry]) -> Iterator[list[Record]]:
    """The records of each history by position, the history with the newest backup first."""
    histories: dict[str, list[Record]] = {}
    for entry in entries:
        histories.setdefault(entry.record.history, []).append(entry.record)
    for records in histories.values():
        yield sorted(records, key=lambda record: (record.position.lsn, record.created_us))


def _history_at(catalog: Catalog, time_us: int) -> list[Record]:
    """The history that was the database's at an instant."""
    after = [entry for entry in catalog.entries if entry.record.created_us >= time_us]
    chosen = after[-1:] or catalog.entries[:1]
    if not chosen:
        raise FailedPrecondition(f"No full backup found before {instant(time_us)}: there are no backups")
    name = chosen[0].record.history
    return next(records for records in _histories(catalog.entries) if records[0].history == name)


def _line(catalog: Catalog, latest: Record) -> list[LogSegment]:
    """The log that ends at a backup's position, as far back as it is there without a gap."""
    present = {entry.id: entry.record for entry in catalog.entries}
    line: list[LogSegment] = []
    record: Record | None = latest
    next_lsn = latest.position.lsn + 1
    while record is not None:
        for segment in reversed(record.log):
            if segment.base_lsn >= next_lsn:
                continue
            if segment.last_lsn + 1 != next_lsn or not _is_there(segment, present):
                return line
            line.insert(0, segment)
            next_lsn = segment.base_lsn
        record = present.get(record.continues or "")
    return line


def _is_there(segment: LogSegment, present: dict[str, Record]) -> bool:
    return all(piece.archive in present for piece in segment.pieces)


def _reach(catalog: Catalog, latest: Record, lsn: LSN) -> RestorePlan | None:
    """The way to a position at or before that of `latest`, from the nearest segments; None when there is none."""
    line = _line(catalog, latest)
    present = {entry.id for entry in catalog.entries}
    best: Record | None = None
    for base in (entry.record for entry in catalog.entries if entry.record.history == latest.history):
        reached = base.sealed_lsn == lsn or (line and line[0].base_lsn - 1 <= base.sealed_lsn < lsn)
        whole = present.issuperset(file.archive for file in base.files)
        if reached and whole and (best is None or base.sealed_lsn > best.sealed_lsn):
            best = base
    if best is None:
        return None
    log = tuple(s for s in line if s.last_lsn > best.sealed_lsn and s.base_lsn <= lsn)
    return RestorePlan(best, latest, log, lsn)


def _lsn_at(catalog: Catalog, latest: Record, time_us: int, store: Store) -> LSN | None:
    """The last position of a backup's line at an instant; None when the line begins later."""
    if latest.position.time_us <= time_us:
        return latest.position.lsn
    line = _line(catalog, latest)
    for segment in reversed(line):
        if segment.first_time_us <= time_us:
            frames = store.assemble(segment).contents.frames
            return max(frame.lsn for frame in frames if frame.time_us <= time_us)
    begin = line[0].base_lsn - 1 if line else latest.position.lsn
    for record in (entry.record for entry in catalog.entries):
        same_place = record.history == latest.history and record.sealed_lsn == begin
        if same_place and record.sealed_time_us <= time_us:
            return begin
    return None


def _reach_of(catalog: Catalog) -> str:
    """What can be reached, for an operator."""
    records = [entry.record for entry in catalog.restorable()]
    if not records:
        return "no backup can be restored"
    spans = [
        f"{record.id} reaches positions {record.sealed_lsn} to {record.position.lsn}, "
        f"{instant(record.sealed_time_us)} to {instant(record.position.time_us)}"
        for record in (records[-1], records[0])
    ]
    return "; ".join(dict.fromkeys(spans))
