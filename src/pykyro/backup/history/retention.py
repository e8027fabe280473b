"""Retention: which backups stay, and the removal of the others.

The newest backup stays of each of the last so many hours, days, weeks and months that have one. "Newest" goes by the
order in which backups were made, whatever the clock said. Periods are counted only when there is a backup in them, so
a server that stood still for a month keeps its seven daily ones. Weeks begin on Monday (ISO 8601), all in UTC. What a
kept backup needs is kept, and so is the newest that can be restored, whatever the numbers say.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass

from pykyro.backup import filename
from pykyro.backup.history.catalog import Catalog, CatalogEntry, read_catalog
from pykyro.backup.target.target import Target
from pykyro.system.clock import Clock

_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Retention:
    """How many periods of each length keep their newest backup. Younger ones than `min_age_days` all stay."""

    hourly: int = 24
    daily: int = 7
    weekly: int = 4
    monthly: int = 6
    min_age_days: float = 0.0


def backups_to_prune(catalog: Catalog, retention: Retention, now_us: int) -> list[CatalogEntry]:
    """The backups that may go, oldest first."""
    kept = _kept_by_period(catalog, retention) | _young(catalog, retention, now_us)
    kept |= {entry.id for entry in catalog.restorable()[:1]}
    while needed := {i for e in catalog.entries if e.id in kept for i in e.record.needs} - kept:
        kept |= needed
    return [entry for entry in reversed(catalog.entries) if entry.id not in kept]


def _kept_by_period(catalog: Catalog, retention: Retention) -> set[str]:
    rules = (
        (retention.hourly, _hour),
        (retention.daily, _day),
        (retention.weekly, _week),
        (retention.monthly, _month),
    )
    return {backup_id for count, period in rules for backup_id in _newest_of_each(catalog, count, period)}


def _young(catalog: Catalog, retention: Retention, now_us: int) -> set[str]:
    """Backups younger than `min_age_days`, or of unknown age.

    None is older than one made before it. One that is dated in the future says nothing of its age.
    """
    if not retention.min_age_days:
        return set()
    limit_us = now_us - int(retention.min_age_days * _DAY_US)
    young: set[str] = set()
    latest_us: int | None = None
    for entry in reversed(catalog.entries):
        created_us = entry.record.created_us
        if created_us <= now_us:
            latest_us = max(created_us, latest_us or 0)
        if latest_us is None or latest_us > limit_us:
            young.add(entry.id)
    return young


def _newest_of_each(
    catalog: Catalog, count: int, period: Callable[[datetime.datetime], tuple[int, ...]]
) -> set[str]:
    newest: dict[tuple[int, ...], str] = {}
    # A backup that cannot be restored must not stand for a period that has a good one.
    for entry in catalog.restorable():
        stamp = datetime.datetime.fromtimestamp(entry.record.created_us // 1_000_000, datetime.UTC)
        if len(newest) < count or period(stamp) in newest:
            newest.setdefault(period(stamp), entry.id)
    return set(newest.values())


def _hour(stamp: datetime.datetime) -> tuple[int, ...]:
    return stamp.year, stamp.month, stamp.day, stamp.hour


def _day(stamp: datetime.datetime) -> tuple[int, ...]:
    return stamp.year, stamp.month, stamp.day


def _week(stamp: datetime.datetime) -> tuple[int, ...]:
    year, week, _ = stamp.isocalendar()
    return year, week


def _month(stamp: datetime.datetime) -> tuple[int, ...]:
    return stamp.year, stamp.month


def prune_backups(target: Target, retention: Retention, clock: Clock, *, dry_run: bool = False) -> list[str]:
    """Remove backups; the ids of those removed, or that would be, oldest first.

    The newest go first: a crash in between leaves a backup with all it needs, or none of it. Raises DataDirInUse
    while another process changes the backups, OSError.
    """
    if dry_run:
        catalog = read_catalog(target)
        return [entry.id for entry in backups_to_prune(catalog, retention, clock.wall_us())]
    lock = target.lock()
    try:
        catalog = read_catalog(target)
        pruned = [entry.id for entry in backups_to_prune(catalog, retention, clock.wall_us())]
        names = target.sizes()
        for backup_id in reversed(pruned):
            # Without its archive a label says nothing; without its label an archive is a backup still.
            target.remove(filename.archive(backup_id))
            if filename.entry(backup_id) in names:
                target.remove(filename.entry(backup_id))
        for backup_id in catalog.orphans:
            target.remove(filename.entry(backup_id))
    finally:
        lock.release()
    return pruned
