"""Lines of positions as the backups hold them: which log leads to a backup, and which backups end a line."""

from __future__ import annotations

from pykyro.backup.archive.record import LogSegment, Record
from pykyro.backup.history.catalog import Catalog
from pykyro.backup.history.chain import chain_of
from pykyro.model.types import LSN


def tips(catalog: Catalog) -> list[Record]:
    """The backups that no other continues, the one made last first: each ends a line."""
    continued = {entry.record.continues for entry in catalog.entries}
    return [entry.record for entry in catalog.entries if entry.id not in continued]


def tip_of(catalog: Catalog, record: Record) -> Record:
    """The backup made last of those whose line leads through this one."""
    for tip in tips(catalog):
        if any(earlier.id == record.id for earlier in chain_of(catalog, tip)):
            return tip
    return record


def log_of(catalog: Catalog, latest: Record) -> list[LogSegment]:
    """The log that ends at a backup's position, as far back as it is there without a gap."""
    present = {entry.id for entry in catalog.entries}
    log: list[LogSegment] = []
    next_lsn = latest.position.lsn + 1
    for record in chain_of(catalog, latest):
        for segment in reversed(record.log):
            if segment.base_lsn >= next_lsn:
                continue
            whole = all(piece.archive in present for piece in segment.pieces)
            if segment.last_lsn + 1 != next_lsn or not whole:
                return log
            log.insert(0, segment)
            next_lsn = segment.base_lsn
    return log


def share_position(catalog: Catalog, one: Record, other: Record, lsn: LSN) -> bool:
    """Whether a position means the same state on the lines of these two backups."""
    first, second = (list(chain_of(catalog, tip)) for tip in (one, other))
    ids = {record.id for record in first}
    if any(record.id in ids and record.position.lsn >= lsn for record in second):
        return True
    return _branches_behind(first, second, lsn) or _branches_behind(second, first, lsn)


def _branches_behind(line: list[Record], left: list[Record], lsn: LSN) -> bool:
    """Whether `line` began at or behind `lsn` on the line `left`."""
    histories = {record.history for record in left}
    branches = [record.branched_from for record in line if record.branched_from is not None]
    return any(branch.history in histories and lsn <= branch.lsn for branch in branches)
