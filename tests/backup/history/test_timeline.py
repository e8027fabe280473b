"""Which segments and which part of the log lead to a position or an instant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.backup.entries import backup_id, catalog, entry, segment, time_us
from tests.backup.played import BACKUPS, Played, operations, played, write
from tests.backup.wrong_clock import Site
from tests.crash.fault_filesystem import FaultFS

from pykyro.backup import filename
from pykyro.backup.history.catalog import Catalog
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import instant, plan_backup, plan_position, plan_time
from pykyro.backup.target.target import DirectoryTarget
from pykyro.cli.backup.instants import parse_instant
from pykyro.model.errors import FailedPrecondition, InvalidArgument

A, B, C = backup_id(10), backup_id(20), backup_id(30)


def joined() -> Catalog:
    """Three full backups at positions 10, 20 and 30, each continuing the one before; an hour a position."""
    first = entry(10, sealed=5, log=[segment(1, 6, 10, A)], position=10)
    second = entry(
        20, sealed=15, log=[segment(2, 11, 15, B), segment(3, 16, 20, B)], position=20, continues=A
    )
    third = entry(30, sealed=25, log=[segment(4, 21, 25, C), segment(5, 26, 30, C)], position=30, continues=B)
    return catalog([first, second, third])


def without(before: Catalog, gone: str) -> Catalog:
    return catalog(entry for entry in before.entries if entry.id != gone)


def no_store() -> Store:
    disk = FaultFS()
    return Store(DirectoryTarget(disk, BACKUPS))


@pytest.mark.parametrize(
    ("lsn", "base", "names"),
    [(5, A, []), (7, A, [1]), (12, A, [1, 2]), (15, B, []), (16, B, [3]), (24, B, [3, 4]), (30, C, [5])],
)
def test_position_starts_from_the_nearest_segments(lsn: int, base: str, names: list[int]) -> None:
    plan = plan_position(joined(), lsn)
    assert plan.base.id == base
    assert [s.name for s in plan.log] == [f"wal_{number:012d}.wal" for number in names]


@pytest.mark.parametrize("lsn", [0, 4, 31])
def test_position_out_of_reach_is_refused_and_the_reach_told(lsn: int) -> None:
    with pytest.raises(
        FailedPrecondition, match=rf"position {lsn}: .* positions 5 to 10.*positions 25 to 30"
    ):
        plan_position(joined(), lsn)


def test_backup_in_the_middle_that_is_gone_leaves_a_gap() -> None:
    gap = without(joined(), B)
    assert plan_position(gap, 10).base.id == A
    assert plan_position(gap, 25).base.id == C
    for lsn in (11, 15, 20, 24):
        with pytest.raises(FailedPrecondition):
            plan_position(gap, lsn)


def test_newest_history_that_reaches_a_position_is_chosen() -> None:
    later = entry(40, sealed=7, log=[segment(9, 8, 12, backup_id(40))], position=12, history="restored")
    both = catalog([*joined().entries, later])
    assert plan_position(both, 9).base.history == "restored"
    assert plan_position(both, 6).base.history == "h"
    assert plan_position(both, 20).base.history == "h"


def test_backup_that_needs_what_is_gone_is_refused() -> None:
    child = entry(1, needs=[backup_id(0)])
    with pytest.raises(FailedPrecondition, match=f"Parent backup {backup_id(0)} not found"):
        plan_backup(catalog([child]), child.id)
    with pytest.raises(InvalidArgument, match="Backup 20200101T000000Z not found"):
        plan_backup(catalog([child]), "20200101T000000Z")


def test_instant_belongs_to_the_history_of_the_first_backup_after_it() -> None:
    """Until hour 20 the first history was the database's, at hour 25 the second had taken its place."""
    first = entry(20, position=10, sealed=10, last_write_hours=9)
    second = entry(30, position=7, sealed=7, last_write_hours=8, history="restored")
    both = catalog([first, second])
    assert plan_time(both, time_us(19), no_store()).base.history == "h"
    assert plan_time(both, time_us(25), no_store()).base.history == "restored"
    assert plan_time(both, time_us(99), no_store()).base.history == "restored"


def test_instant_before_everything_is_refused() -> None:
    past = Played()
    for operation in operations(10, seed=1):
        past.write(operation)
    past.back_up()
    with pytest.raises(FailedPrecondition, match="No full backup found before 1970-01-01 00:00:01 UTC: "):
        plan_time(past.catalog, 1_000_000, Store(past.target))
    with pytest.raises(FailedPrecondition, match="there are no backups"):
        plan_time(Catalog(), 1_000_000, no_store())


def test_instant_between_two_stretches_that_do_not_join_is_refused_rather_than_guessed() -> None:
    past = Played(retention=0)
    for number, operation in enumerate(operations(60, seed=1), 1):
        past.write(operation)
        assert past.engine is not None
        if number in (20, 50):
            past.engine.flush()
        if number in (25, 55):
            past.back_up()
    assert past.backups[1].record.continues is None
    store = Store(past.target)
    first, second = (entry.record for entry in past.backups)
    lost = [lsn for lsn in past.times_us if first.position.lsn < lsn < second.sealed_lsn]
    assert len(lost) > 10
    for lsn in lost:
        with pytest.raises(FailedPrecondition):
            plan_time(past.catalog, past.times_us[lsn], store)
    for lsn in set(past.times_us) - set(lost):
        if first.sealed_lsn <= lsn <= second.position.lsn:
            plan = plan_time(past.catalog, past.times_us[lsn], store)
            assert past.restored(plan) == past.state_at(lsn)


def test_instant_after_the_last_write_and_before_the_backup_is_the_state_of_that_backup() -> None:
    past = Played(retention=0)
    for number, operation in enumerate(operations(40, seed=1), 1):
        past.write(operation)
        assert past.engine is not None
        if number in (20, 35):
            past.engine.flush()
            past.clock.advance(3600)
            past.back_up()
    first = past.backups[0].record
    between = (first.position.time_us + first.created_us) // 2
    plan = plan_time(past.catalog, between, Store(past.target))
    assert (plan.base.id, plan.lsn) == (first.id, first.position.lsn)


def test_instant_between_the_seal_and_the_next_write_is_the_sealed_state() -> None:
    past = played(20, flush_at=(20,))
    sealed_us = past.clock.wall_us()
    past.clock.advance(3600)
    write(past, 200, seed=5)
    past.back_up()
    assert len(past.backups[0].record.log) > 2
    plan = plan_time(past.catalog, sealed_us + 1_000_000, Store(past.target))
    assert plan.lsn == past.backups[0].record.sealed_lsn
    with pytest.raises(FailedPrecondition):
        plan_time(past.catalog, sealed_us - 1_000_000, Store(past.target))


def test_position_through_backups_of_which_one_archive_is_gone_is_refused() -> None:
    past = Played()
    for number, operation in enumerate(operations(40, seed=1), 1):
        past.write(operation)
        if number in (10, 20, 30):
            past.back_up(incremental=number != 10)
    past.target.remove(filename.archive(past.backups[1].id))
    past.target.remove(filename.entry(past.backups[1].id))
    reached = past.backups[0].record.position.lsn
    assert past.restored(plan_position(past.catalog, reached)) == past.state_at(reached)
    with pytest.raises(FailedPrecondition):
        plan_position(past.catalog, reached + 1)
    with pytest.raises(FailedPrecondition, match="Parent backup"):
        plan_backup(past.catalog, past.backups[2].id)


def test_instant_is_written_as_people_write_it() -> None:
    assert instant(1_748_779_200_999_999) == "2025-06-01 12:00:00 UTC"


def test_bounds_that_a_refusal_names_can_be_restored(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.clock.advance(0.75)
    site.write(1, 2, flush=True)
    site.write(3)
    site.back_up(incremental=False)
    with pytest.raises(FailedPrecondition) as refused:
        plan_time(site.catalog, 1_000_000, site.store)
    first, last = re.findall(r"(\S+ \S+ UTC)", str(refused.value))[-2:]
    states = [
        site.restored(plan_time(site.catalog, parse_instant(text), site.store)) for text in (first, last)
    ]
    assert [set(state) for state in states] == [{1, 2}, {1, 2, 3}]
