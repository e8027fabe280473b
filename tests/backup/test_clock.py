"""A clock that was wrong: the order of backups, what is pruned, and which position an instant means."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
from tests.backup.entries import backup_id, catalog, entry, time_us
from tests.backup.wrong_clock import FILES, Site

from pykyro.backup.history.order import clock_faults, oldest_first
from pykyro.backup.history.retention import Retention, backups_to_prune, prune_backups
from pykyro.backup.history.timeline import plan_position, plan_time
from pykyro.model.errors import FailedPrecondition
from pykyro.storage.manifest import read_manifest
from pykyro.storage.wal import log
from pykyro.storage.wal import writer as wal_writer
from pykyro.storage.wal.reader import read_segment
from pykyro.storage.wal.writer import encode_frame

DAY_S = 86_400
ONE_DAILY = Retention(0, 1, 0, 0)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


# --- order ----------------------------------------------------------------------------------------


def test_backups_made_while_the_clock_was_ahead_are_older_than_those_made_after(site: Site) -> None:
    site.clock.step_wall(30 * DAY_S)
    site.write(1)
    ahead = site.back_up(incremental=False)
    site.clock.step_wall(-30 * DAY_S)
    site.write(2)
    newest = site.back_up(incremental=False)
    assert f"{ahead.id} among them" in site.warnings[0]
    assert [found.id for found in site.catalog.entries] == [newest.id, ahead.id]
    assert prune_backups(site.target, Retention(0, 0, 0, 0), site.clock) == [ahead.id]
    assert [found.id for found in site.catalog.restorable()] == [newest.id]


@pytest.mark.parametrize("seed", range(10))
def test_newest_backup_survives_every_pruning_whatever_the_clock_does(site: Site, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(6):
        site.clock.step_wall(chance.choice((-400, -30, -1, 0, 0.1, 1, 60, 700)) * DAY_S)
        site.write(number + 1)
        newest = site.back_up(incremental=chance.random() < 0.6 and number > 0)
        rules = Retention(
            hourly=chance.randint(0, 2),
            daily=chance.randint(0, 2),
            weekly=chance.randint(0, 2),
            monthly=chance.randint(0, 2),
            min_age_days=chance.choice((0.0, 0.5, 40.0)),
        )
        site.clock.step_wall(chance.choice((-30, 0, 30)) * DAY_S)
        prune_backups(site.target, rules, site.clock)
        assert site.catalog.restorable()[0].id == newest.id
        assert set(site.restored_backup(newest)) == set(range(1, number + 2))


def test_backups_of_earlier_versions_are_no_older_than_what_they_rest_on() -> None:
    ahead, after = entry(720), entry(5, needs=[backup_id(720)])
    continued = entry(6, continues=backup_id(5))
    for records in ([ahead, after, continued], [continued, after, ahead]):
        ordered = oldest_first([found.record for found in records])
        assert [record.id for record in ordered] == [ahead.id, after.id, continued.id]


def test_numbered_backups_are_newer_than_those_of_earlier_versions() -> None:
    old, first, second = entry(900), entry(10, sequence=1), entry(5, sequence=2)
    assert [found.id for found in catalog([second, old, first]).entries] == [second.id, first.id, old.id]


def test_references_in_a_circle_end() -> None:
    one, other = entry(1, continues=backup_id(2)), entry(2, continues=backup_id(1))
    assert len(oldest_first([one.record, other.record])) == 2


def test_time_in_doubt_is_said() -> None:
    ahead, after = entry(720, sequence=1), entry(5, sequence=2)
    found = clock_faults([ahead.record, after.record], time_us(1000))
    assert found == {ahead.id: f"is dated later than {after.id}, which was made after it"}
    assert clock_faults([after.record], time_us(4)) == {after.id: "is dated in the future"}
    assert clock_faults([after.record], time_us(5)) == {}


def test_backup_dated_back_is_as_young_as_the_one_before_it() -> None:
    before, dated_back = entry(24 * 100, sequence=1), entry(24 * 10, sequence=2)
    newest = entry(24 * 101, sequence=3)
    rules = Retention(0, 0, 0, 0, min_age_days=7)
    assert backups_to_prune(catalog([before, dated_back, newest]), rules, time_us(24 * 102)) == []


def test_backup_dated_in_the_future_keeps_nothing_for_ever() -> None:
    old, ahead = entry(24 * 10, sequence=1), entry(24 * 900, sequence=2)
    newest = entry(24 * 100, sequence=3)
    rules = Retention(0, 0, 0, 0, min_age_days=7)
    pruned = backups_to_prune(catalog([old, ahead, newest]), rules, time_us(24 * 100 + 1))
    assert [found.id for found in pruned] == [old.id, ahead.id]


# --- instants -------------------------------------------------------------------------------------


def test_moment_of_a_clock_that_was_ahead_is_named_and_hides_nothing(site: Site) -> None:
    site.write(*range(1, 30))
    before_us = site.clock.wall_us()
    site.clock.step_wall(365 * DAY_S)
    site.write(30)
    site.clock.step_wall(-365 * DAY_S)
    site.write(*range(31, 60))
    wanted_us = site.clock.wall_us() - 10_000_000
    site.back_up(incremental=False)
    with pytest.raises(FailedPrecondition, match=r"fits 2 positions.*clock was set back") as refused:
        plan_time(site.catalog, wanted_us, site.store)
    assert "--lsn 30 " in str(refused.value), "the seal after document 29"
    plan = plan_time(site.catalog, before_us - 5_500_000, site.store)
    assert len(site.restored(plan)) == 23
    with pytest.raises(FailedPrecondition, match="nothing later is known"):
        plan_time(site.catalog, site.clock.wall_us(), site.store)


def test_positions_named_as_choices_are_the_states_the_instant_can_mean(site: Site) -> None:
    """The clock was an hour ahead and was then set right: it showed the same hour twice."""
    site.write(*range(1, 11))
    first_us = site.clock.wall_us()
    site.clock.step_wall(-5)
    site.write(*range(11, 21))
    site.back_up(incremental=False)
    with pytest.raises(FailedPrecondition) as refused:
        plan_time(site.catalog, first_us - 2_000_000, site.store)
    words = str(refused.value).split()
    chosen = [int(words[at + 1]) for at, word in enumerate(words) if word == "--lsn"]
    assert len(chosen) == 2
    assert 7 <= chosen[0] <= 9
    assert 11 <= chosen[1] <= 16
    plan = plan_time(site.catalog, site.clock.wall_us(), site.store)
    assert len(site.restored(plan)) == 20


def test_log_of_a_clock_that_only_goes_forward_is_never_in_doubt(site: Site) -> None:
    times: dict[int, int] = {}
    for number in range(1, 40):
        site.write(number)
        times[number] = site.clock.wall_us()
        site.clock.advance(number % 7)
        if number % 10 == 0:
            site.back_up(incremental=number > 10)
    site.back_up()
    for number, at_us in times.items():
        assert len(site.restored(plan_time(site.catalog, at_us, site.store))) == number


def test_clock_that_is_ahead_at_the_last_write_leaves_the_present_in_doubt(site: Site) -> None:
    site.write(*range(1, 6))
    site.clock.step_wall(365 * DAY_S)
    site.write(6)
    site.clock.step_wall(-365 * DAY_S)
    site.back_up(incremental=False)
    with pytest.raises(FailedPrecondition, match="fits 2 positions"):
        plan_time(site.catalog, site.clock.wall_us(), site.store)


@pytest.fixture
def earlier_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs as they were before frames said what the clock showed."""

    def encode(*arguments: Any, behind_us: int = 0, **keywords: Any) -> tuple[bytes, int]:
        return encode_frame(*arguments, **keywords)

    monkeypatch.setattr(wal_writer, "encode_frame", encode)
    monkeypatch.setattr(log, "EPOCH_BYTES", 0)


@pytest.mark.usefixtures("earlier_version")
def test_log_without_true_times_is_doubted_where_a_backup_proves_it_wrong(site: Site) -> None:
    site.write(*range(1, 11))
    jump_us = site.clock.wall_us()
    site.clock.step_wall(365 * DAY_S)
    site.write(11)
    site.clock.step_wall(-365 * DAY_S)
    site.write(*range(12, 31))
    hidden_us = site.clock.wall_us() - 5_000_000
    record = site.back_up(incremental=False).record
    assert not any(segment.dated for segment in record.log)
    assert len(site.restored(plan_time(site.catalog, jump_us - 4_500_000, site.store))) == 5
    with pytest.raises(FailedPrecondition) as refused:
        plan_time(site.catalog, hidden_us, site.store)
    words = str(refused.value).split()
    chosen = [int(words[at + 1]) for at, word in enumerate(words) if word == "--lsn"]
    assert chosen[0] in (10, 11), "before the clock jumped: the last document, or the seal after it"
    assert chosen[-1] == record.position.lsn


@pytest.mark.usefixtures("earlier_version")
def test_log_without_true_times_is_believed_where_nothing_speaks_against_it(site: Site) -> None:
    site.write(*range(1, 21))
    wanted_us = site.clock.wall_us() - 9_500_000
    site.back_up(incremental=False)
    assert len(site.restored(plan_time(site.catalog, wanted_us, site.store))) == 10


@pytest.mark.parametrize("seed", range(5))
def test_an_instant_is_the_one_position_that_fits_or_every_one_is_named(site: Site, seed: int) -> None:
    """Against a plain look at all frames, under a clock that anybody sets at any time."""
    chance = random.Random(seed)
    walls: dict[int, int] = {}
    number = 0
    for _ in range(8):
        site.clock.step_wall(chance.choice((0, 0, 0, 30, 600, -5, -40, -700)))
        count = chance.randint(1, 5)
        site.write(*range(number + 1, number + 1 + count))
        number += count
        for wal in read_manifest(FILES, site.data).wal:
            contents = read_segment(FILES.read(site.data / wal.name), site.data)
            walls |= {frame.lsn: frame.wall_us for frame in contents.frames}
            if contents.header.base_lsn == 1:
                walls[0] = contents.header.created_us
        if chance.random() < 0.7:
            site.back_up(incremental=bool(site.catalog.entries))
    site.back_up(incremental=bool(site.catalog.entries))
    lsns = sorted(walls)
    for _ in range(60):
        wanted_us = chance.randint(min(walls.values()), max(walls.values()) + 10_000_000)
        fitting = {
            lsn
            for lsn, behind in zip(lsns, [*lsns[1:], None], strict=True)
            if walls[lsn] <= wanted_us and (behind is None or wanted_us < walls[behind])
        }
        try:
            chosen = {plan_time(site.catalog, wanted_us, site.store).lsn}
            assert chosen == fitting
        except FailedPrecondition as refused:
            words = str(refused).split()
            named = {int(words[at + 1]) for at, word in enumerate(words) if word == "--lsn"}
            assert named == fitting
            assert len(named) > 1


def test_choices_of_an_instant_on_a_line_that_was_left_lead_to_that_line(site: Site) -> None:
    site.write(1, mark="both")
    site.back_up(incremental=False)
    site.keep_image()
    site.clock.step_wall(365 * DAY_S)
    site.write(2, mark="left")
    site.clock.step_wall(-365 * DAY_S)
    site.write(3, mark="left")
    at_us = site.clock.wall_us()
    site.clock.advance(1)
    site.back_up()
    site.roll_back()
    site.clock.advance(10)
    site.write(2, 3, 4, 5, 6, mark="newest")
    site.back_up()
    with pytest.raises(FailedPrecondition) as refused:
        plan_time(site.catalog, at_us, site.store)
    choices = re.findall(r"--lsn (\d+)(?: --line (\S+))? \(", str(refused.value))
    states = [site.restored(plan_position(site.catalog, int(lsn), line or None)) for lsn, line in choices]
    assert states == [{1: "both"}, {1: "both", 2: "left", 3: "left"}]
