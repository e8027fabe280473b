"""Backups of collections whose sealed documents are in PostgreSQL: ours, then that of PostgreSQL, then ours again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.engine.opening import fill, vectors
from tests.engine.remote.opening import open_remote
from tests.engine.remote.postgres import Postgres

from pykyro.backup.create import CreateOptions, create_backup
from pykyro.backup.history.catalog import read_catalog
from pykyro.backup.history.elsewhere import meeting
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import plan_backup, plan_position
from pykyro.backup.restore import restore
from pykyro.backup.target.locate import open_target
from pykyro.backup.verify import check_recovery
from pykyro.engine.engine import Engine
from pykyro.engine.remote.positions import table_position
from pykyro.model.errors import FailedPrecondition, Unavailable
from pykyro.model.listing import PageRequest
from pykyro.model.requests import Delete, Put, UpdateMetadata
from pykyro.model.types import EVERYTHING, Document
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.manifest import read_manifest
from pykyro.system.clock import SystemClock

ROWS = vectors(400)
DISK = LocalFileSystem()
Documents = dict[int, tuple[list[float], dict[str, str]]]


def documents(engine: Engine) -> Documents:
    found: Documents = {}
    page = engine.listing.page(PageRequest(10_000, None, EVERYTHING))
    for one in page.documents:
        assert isinstance(one.doc_id, int)
        document = engine.get(one.doc_id, cached=False)
        assert document is not None
        found[one.doc_id] = document.vector.tolist(), dict(document.metadata)
    return found


@dataclass
class Past:
    """A collection with a history: after each step what it held, at which position."""

    path: Path
    postgres: Postgres
    services: Path
    states: dict[int, Documents] = field(default_factory=dict)
    backups: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = open_remote(self.path / "data", self.services)
        self.there = self.services
        self.target = open_target(str(self.path / "backups"))

    def note(self) -> None:
        self.states[self.engine.stats().position] = documents(self.engine)

    def work(self, step: int) -> None:
        """Some of everything, in more than one seal."""
        first = 1 + 20 * step
        fill(self.engine, ROWS[first : first + 20], first_id=first, metadata={"step": str(step)})
        self.engine.flush()
        self.note()
        self.engine.write(Delete(first + 3))
        self.engine.write(Put(Document(first + 4, ROWS[-1 - step])))
        self.engine.write(UpdateMetadata(first + 5, {"more": "x"}, True))
        if step:
            self.engine.write(Delete(first - 9))
            self.engine.write(UpdateMetadata(first - 8, {"more": "y"}, True))
        self.note()
        self.engine.flush()
        self.engine.write(UpdateMetadata(first + 6, {"hot": "z"}, True))
        self.note()

    def back_up(self, *, incremental: bool = True) -> None:
        options = CreateOptions(incremental=incremental and bool(self.backups))
        entry = create_backup(DISK, self.path / "data", self.target, SystemClock(), options)
        assert entry.record.documents == self.engine.documents
        self.backups.append(entry.id)

    def back_up_table(self) -> None:
        self.tables.append(self.postgres.copied())

    def restored(self, backup: int, table: int, *, lsn: int | None = None) -> tuple[Engine, int]:
        """The engine after a restore of both, and the position it is at."""
        self.engine.close()
        services = self.there = self.postgres.leading_to(self.postgres.copied(self.tables[table]))
        place = self.path / f"restored-{backup}-{table}-{lsn}"
        catalog = read_catalog(self.target)
        plan = plan_backup(catalog, self.backups[backup]) if lsn is None else plan_position(catalog, lsn)
        entry = Store(self.target).manifest(plan.base).remote
        assert entry is not None
        plan = meeting(catalog, plan, table_position(entry, services), "the table")
        restore(DISK, place, Store(self.target), plan, SystemClock(), allow_clear=False)
        assert check_recovery(DISK, place).documents == len(self.states[plan.lsn])
        return open_remote(place, services), plan.lsn


@pytest.fixture
def past(tmp_path: Path, postgres: Postgres) -> Past:
    return Past(tmp_path, postgres, postgres.fresh())


def played(past: Past, what: str) -> Past:
    """w: work, o: a backup of ours, t: one of the table, r: the database is closed and opened."""
    acts: dict[str, Callable[[int], None]] = {
        "w": past.work,
        "o": lambda _: past.back_up(),
        "t": lambda _: past.back_up_table(),
        "r": lambda _: reopen(past),
    }
    for step, act in enumerate(what):
        acts[act](step)
    return past


def reopen(past: Past) -> None:
    past.engine.close()
    past.engine = open_remote(past.path / "data", past.services)


@pytest.mark.parametrize(
    ("what", "backup", "table"),
    [
        ("woto", 1, 0),
        ("wotwo", 1, 0),
        ("wowrtrwowo", 2, 0),
        ("wowrtrwowo", 1, 0),
        ("wowrrtrwrwo", 1, 0),
        ("wowotwo", 2, 0),
    ],
)
def test_ours_theirs_ours_restores_to_the_last_of_ours(
    past: Past, what: str, backup: int, table: int
) -> None:
    played(past, what)
    engine, position = past.restored(backup, table)
    assert documents(engine) == past.states[position]
    # It goes on: what was restored is sealed, and found again.
    engine.write(Delete(1))
    engine.flush()
    engine.close()
    manifest = read_manifest(DISK, engine.directory)
    assert manifest.remote is not None
    assert not manifest.remote.restored
    engine = open_remote(engine.directory, past.there)
    assert documents(engine) == {key: value for key, value in past.states[position].items() if key != 1}
    engine.close()


def test_every_position_behind_the_tables_can_be_restored(past: Past) -> None:
    played(past, "wowtwo")
    positions = sorted(past.states)
    for lsn in positions[5:]:
        engine, position = past.restored(1, 0, lsn=lsn)
        assert position == lsn
        assert documents(engine) == past.states[lsn]
        engine.close()
    with pytest.raises(FailedPrecondition, match="restore ends at"):
        past.restored(1, 0, lsn=positions[3])


def test_a_table_that_is_older_than_all_of_ours_is_refused(past: Past) -> None:
    played(past, "wtwowo")
    with pytest.raises(FailedPrecondition, match="no backup here begins at or before it"):
        past.restored(1, 0)


def test_a_table_that_is_newer_than_all_of_ours_is_refused(past: Past) -> None:
    played(past, "wowt")
    with pytest.raises(FailedPrecondition, match="an incremental backup made after that of PostgreSQL"):
        past.restored(0, 0)


def test_opening_refuses_what_the_restore_could_not_see(past: Past) -> None:
    played(past, "wowtwo")
    past.engine.close()
    for number, backup, why in ((0, 0, "hold|holds"), (1, 1, "an older backup of the table")):
        place = past.path / f"blind-{number}"
        plan = plan_backup(read_catalog(past.target), past.backups[backup])
        restore(DISK, place, Store(past.target), plan, SystemClock(), allow_clear=False)
        with pytest.raises(FailedPrecondition, match=why):
            open_remote(place, past.postgres.leading_to(past.tables[0]))


def test_a_restored_directory_is_not_opened_without_the_table(past: Past) -> None:
    played(past, "woto")
    past.engine.close()
    place = past.path / "blind"
    plan = plan_backup(read_catalog(past.target), past.backups[1])
    restore(DISK, place, Store(past.target), plan, SystemClock(), allow_clear=False)
    services = past.postgres.leading_to(past.tables[0])
    past.postgres.stop()
    with pytest.raises(Unavailable):
        open_remote(place, services)
    past.postgres.start()
    open_remote(place, services).close()


def test_a_snapshot_opens_with_the_table_of_its_moment(past: Past) -> None:
    past.work(0)
    past.work(1)
    expected, report = documents(past.engine), past.engine.snapshot()
    past.back_up_table()
    past.work(2)
    past.engine.close()
    with pytest.raises(FailedPrecondition, match="the directory was restored from an older backup"):
        open_remote(Path(report.path), past.services)
    engine = open_remote(Path(report.path), past.postgres.leading_to(past.tables[0]))
    assert documents(engine) == expected
    engine.close()
