"""A restore to any position of a long history gives exactly the state of that position.

With KYRODB_POSITIONS=1 all positions are restored to, one after another.
"""

from __future__ import annotations

import os
import random

import pytest
from tests.backup.played import DATA, RESTORED, Played, operations
from tests.crash.checker import check_reads, read_state
from tests.crash.clock import FakeClock

from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import plan_backup, plan_position, plan_time
from pykyro.engine.engine import open_engine
from pykyro.engine.maintenance.builder import InlineBuilder
from pykyro.engine.options import EngineOptions

OPERATIONS = 2000
_EVERY = int(os.environ.get("KYRODB_POSITIONS", "7"))
"""Which positions are restored to, beside those next to a backup or a seal; a restore takes 15 ms."""


@pytest.fixture(scope="module")
def past() -> Played:
    """2,000 operations with seals, merges, restarts clean and not, and backups of both kinds among them."""
    played = Played()
    for number, operation in enumerate(operations(OPERATIONS, seed=1), 1):
        played.write(operation)
        engine = played.engine
        assert engine is not None
        if number == 1:
            played.back_up()
        if number % 170 == 0:
            engine.flush()
        if number % 600 == 0:
            engine.maintain()
        if number % 230 == 0:
            played.back_up(incremental=number % 690 != 0)
        if number % 410 == 0:
            played.close()
        if number % 270 == 0:
            played.kill()
    played.close()
    played.back_up(incremental=True)
    return played


def test_history_is_as_varied_as_it_should_be(past: Played) -> None:
    records = [entry.record for entry in past.backups]
    assert {record.backup_type for record in records} == {"Full", "Incremental"}
    assert sum(bool(record.needs) for record in records) > 3
    assert len({record.sealed_lsn for record in records}) > 5
    assert all(record.continues for record in records[1:])


def test_positions_are_restored_to_the_state_they_had(past: Played) -> None:
    catalog = past.catalog
    end = past.backups[-1].record.position.lsn
    records = [entry.record for entry in past.backups]
    assert end >= OPERATIONS * 0.8
    edges = {record.position.lsn for record in records} | {record.sealed_lsn for record in records}
    near = {edge + away for edge in edges for away in (-2, -1, 0, 1, 2)}
    for lsn in range(end + 1):
        if lsn in near or lsn % _EVERY == 0:
            assert past.restored(plan_position(catalog, lsn)) == past.state_at(lsn), f"position {lsn}"


def test_every_backup_is_restored_to_its_own_position(past: Played) -> None:
    catalog = past.catalog
    for entry in past.backups:
        plan = plan_backup(catalog, entry.id)
        state = past.state_at(entry.record.position.lsn)
        assert past.restored(plan) == state
        assert entry.record.documents == len(state)


def test_every_instant_is_restored_to_the_last_write_before_it(past: Played) -> None:
    catalog, store, rng = past.catalog, Store(past.target), random.Random(2)
    for lsn in rng.sample(sorted(past.times_us), 25):
        for shift_us in (0, -1, 1):
            time_us = past.times_us[lsn] + shift_us
            plan = plan_time(catalog, time_us, store)
            assert past.restored(plan) == past.state_at(past.lsn_at(time_us)), (
                f"position {lsn} {shift_us:+} us"
            )


def test_server_opens_what_was_restored_and_shows_that_state(past: Played) -> None:
    catalog, rng = past.catalog, random.Random(3)
    for lsn in rng.sample(range(1, past.backups[-1].record.position.lsn + 1), 20):
        state = past.restored(plan_position(catalog, lsn))
        options = EngineOptions(dimension=4, background=False)
        engine = open_engine(
            RESTORED, options, filesystem=past.disk, clock=FakeClock(), builder=InlineBuilder(past.disk)
        )
        assert read_state(engine) == state
        check_reads(engine, state, seed=lsn)
        engine.flush()
        engine.close()
        assert engine.directory != DATA
