"""The order in which backups were made, whatever the clock said, and where the clock was wrong.

Each backup has a larger `sequence` than all before it. Those of earlier versions have none: among them the times
count, except that no backup is older than one it continues, builds on or needs.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Final

from pykyro.backup.archive.record import Record

CLOCK_TOLERANCE_US: Final = 60_000_000
"""Clocks differ by so much without being wrong."""


def oldest_first(records: Sequence[Record]) -> list[Record]:
    """In the order in which they were made."""
    numbered = sorted((r for r in records if r.sequence), key=lambda r: (r.sequence, _age(r)))
    return _by_dependency([r for r in records if not r.sequence]) + numbered


def clock_faults(records: Sequence[Record], now_us: int) -> dict[str, str]:
    """Faults in the times of backups (given oldest first), by the id of each backup whose time is in doubt."""
    faults: dict[str, str] = {}
    earliest: Record | None = None
    for record in reversed(records):
        if earliest is not None and record.created_us > earliest.created_us + CLOCK_TOLERANCE_US:
            faults[record.id] = f"is dated later than {earliest.id}, which was made after it"
        elif record.created_us > now_us + CLOCK_TOLERANCE_US:
            faults[record.id] = "is dated in the future"
        if earliest is None or record.created_us < earliest.created_us:
            earliest = record
    return faults


def _by_dependency(records: list[Record]) -> list[Record]:
    """By time, but none before one it refers to. References in a circle, which no version writes, are ignored."""
    waiting: dict[str, set[str]] = {}
    ids = {record.id for record in records}
    waited_for: dict[str, list[Record]] = {}
    for record in records:
        waiting[record.id] = {i for i in (*record.needs, record.continues, record.parent_id) if i in ids} - {
            record.id
        }
        for other in waiting[record.id]:
            waited_for.setdefault(other, []).append(record)
    ready = [(_age(record), record) for record in records if not waiting[record.id]]
    heapq.heapify(ready)
    ordered: list[Record] = []
    while ready:
        _, record = heapq.heappop(ready)
        ordered.append(record)
        for later in waited_for.get(record.id, ()):
            waiting[later.id].discard(record.id)
            if not waiting[later.id]:
                heapq.heappush(ready, (_age(later), later))
    placed = {record.id for record in ordered}
    return ordered + sorted((r for r in records if r.id not in placed), key=_age)


def _age(record: Record) -> tuple[int, int, str]:
    return record.created_us, len(record.id), record.id
