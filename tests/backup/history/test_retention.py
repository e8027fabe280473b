"""Laws of pruning, for any set of backups and any numbers."""

from __future__ import annotations

import datetime
import random

from hypothesis import given
from hypothesis import strategies as st
from tests.backup.entries import backup_id, catalog, entry, time_us

from pykyro.backup.history.catalog import Catalog, CatalogEntry
from pykyro.backup.history.retention import Retention, backups_to_prune

NONE = Retention(0, 0, 0, 0)


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    """Up to 25 backups over two years; some need earlier ones, of which some are gone."""
    hours = draw(st.lists(st.integers(0, 24 * 700), max_size=25, unique=True))
    rng = random.Random(draw(st.integers(0, 2**32)))
    entries: list[CatalogEntry] = []
    for at, hour in enumerate(sorted(hours)):
        earlier = [backup_id(h) for h in sorted(hours)[:at]]
        needs = rng.sample(earlier, min(len(earlier), rng.choice((0, 0, 1, 2))))
        if rng.random() < 0.1:
            needs.append("20200101T000000Z")
        entries.append(entry(hour, needs=needs))
    return catalog(entries)


counts = st.integers(0, 30)
retentions = st.builds(Retention, counts, counts, counts, counts, st.floats(0, 800))
NOW_US = time_us(24 * 700)


def kept_after(before: Catalog, retention: Retention) -> Catalog:
    pruned = {pruned.id for pruned in backups_to_prune(before, retention, NOW_US)}
    return catalog(entry for entry in before.entries if entry.id not in pruned)


@given(catalogs(), retentions)
def test_what_could_be_restored_and_is_kept_can_be_restored(before: Catalog, retention: Retention) -> None:
    after = kept_after(before, retention)
    could = {entry.id for entry in before.restorable()}
    assert {e.id for e in after.restorable()} == could & {e.id for e in after.entries}


@given(catalogs(), retentions)
def test_newest_restorable_backup_is_never_removed(before: Catalog, retention: Retention) -> None:
    assert kept_after(before, retention).restorable()[:1] == before.restorable()[:1]


@given(catalogs(), retentions)
def test_pruning_again_removes_nothing(before: Catalog, retention: Retention) -> None:
    after = kept_after(before, retention)
    assert backups_to_prune(after, retention, NOW_US) == []


@given(catalogs(), retentions, retentions)
def test_keeping_more_never_removes_more(before: Catalog, one: Retention, other: Retention) -> None:
    more = Retention(
        max(one.hourly, other.hourly),
        max(one.daily, other.daily),
        max(one.weekly, other.weekly),
        max(one.monthly, other.monthly),
        max(one.min_age_days, other.min_age_days),
    )
    assert {e.id for e in kept_after(before, one).entries} <= {e.id for e in kept_after(before, more).entries}


@given(catalogs(), retentions)
def test_younger_than_the_minimum_age_stays(before: Catalog, retention: Retention) -> None:
    after = {entry.id for entry in kept_after(before, retention).entries}
    youngest_us = NOW_US - retention.min_age_days * 86_400e6
    assert {e.id for e in before.entries if e.record.created_us > youngest_us} <= after


@given(st.lists(st.integers(0, 24 * 700), max_size=40, unique=True), counts)
def test_daily_keeps_the_newest_of_each_of_the_newest_days(hours: list[int], days: int) -> None:
    before = catalog(entry(hour) for hour in hours)
    newest: dict[datetime.date, int] = {}
    for hour in hours:
        day = datetime.date(2025, 1, 1) + datetime.timedelta(hours=hour)
        newest[day] = max(newest.get(day, -1), hour)
    chosen = [newest[day] for day in sorted(newest, reverse=True)[:days]]
    expected = {backup_id(hour) for hour in chosen or sorted(hours)[-1:]}
    assert {e.id for e in kept_after(before, Retention(0, days, 0, 0)).entries} == expected


def test_periods_without_a_backup_do_not_count() -> None:
    before = catalog(entry(hour) for hour in (0, 24, 24 * 300, 24 * 301))
    assert backups_to_prune(before, Retention(0, 4, 0, 0), NOW_US) == []


def test_weeks_begin_on_monday() -> None:
    sunday, monday = 24 * 4, 24 * 5  # 2025-01-05 and 06
    before = catalog([entry(sunday), entry(monday)])
    assert backups_to_prune(before, Retention(0, 0, 2, 0), NOW_US) == []
    same_week = catalog([entry(monday), entry(monday + 24 * 6)])
    assert [e.id for e in backups_to_prune(same_week, Retention(0, 0, 2, 0), NOW_US)] == [backup_id(monday)]


def test_chain_is_kept_to_its_full_backup() -> None:
    full, first, second = entry(0), entry(1, needs=[backup_id(0)]), entry(2, needs=[backup_id(1)])
    assert backups_to_prune(catalog([full, first, second]), NONE, NOW_US) == []


def test_broken_backup_does_not_stand_for_a_period_that_has_a_good_one() -> None:
    good, broken = entry(1), entry(2, needs=["20200101T000000Z"])
    pruned = backups_to_prune(catalog([good, broken]), Retention(0, 1, 0, 0), NOW_US)
    assert [entry.id for entry in pruned] == [broken.id]
