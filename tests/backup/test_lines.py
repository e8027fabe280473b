"""Databases that go on from an older state: what backups make of positions that are given out twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.backup.wrong_clock import FILES, Site

from pykyro.backup import filename
from pykyro.backup.archive.record import LogPiece, Record
from pykyro.backup.history import chain as lineage
from pykyro.backup.history.catalog import summary
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import plan_position
from pykyro.backup.scheduled_run import RunRequest, run
from pykyro.backup.source.source_log import SourceSegment
from pykyro.backup.verify import verify_backup, verify_deep
from pykyro.model.errors import DataDamaged, FailedPrecondition, InvalidArgument
from pykyro.storage.manifest import read_manifest


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def marks(first: int, last: int, mark: str = "") -> dict[int, str]:
    return dict.fromkeys(range(first, last + 1), mark)


def rolled_back(site: Site, *, flush: bool = False) -> None:
    """Three backups: at document 10; at 20 of one line; at 30 of another that left it at 10."""
    site.write(*range(1, 11), flush=flush)
    site.back_up(incremental=False)
    site.keep_image()
    site.write(*range(11, 21), mark="lost")
    site.back_up()
    site.roll_back()
    site.write(*range(11, 31), mark="kept")
    site.back_up()


@pytest.mark.parametrize("flush", [False, True])
def test_every_backup_around_a_rolled_back_disk_verifies_and_restores(site: Site, flush: bool) -> None:
    rolled_back(site, flush=flush)
    assert "state older than backup" in " ".join(site.warnings) or flush
    site.write(*range(31, 36), mark="kept")
    site.back_up()
    kept, other, lost, first = site.catalog.entries
    expected = [
        (first, marks(1, 10)),
        (lost, marks(1, 10) | marks(11, 20, "lost")),
        (other, marks(1, 10) | marks(11, 30, "kept")),
        (kept, marks(1, 10) | marks(11, 35, "kept")),
    ]
    for entry, documents in expected:
        verify_backup(site.target, site.catalog, entry.id, site.clock)
        scratch = site.root / "scratch"
        assert verify_deep(FILES, scratch, site.target, site.catalog, entry.id, site.clock).documents == len(
            documents
        )
        assert site.restored_backup(entry) == documents


def test_backup_that_was_matched_by_names_is_found_by_verify_and_made_good_by_the_next(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As earlier versions made them: the beginning of a file of the same name, which is of another line."""

    def by_name(record: Record, segment: SourceSegment) -> tuple[LogPiece, ...]:
        same = [s for s in record.log if s.name == segment.entry.name and s.end_offset <= segment.end_offset]
        return same[0].pieces if same else ()

    site.write(*range(1, 11))
    site.back_up(incremental=False)
    site.keep_image()
    site.write(*range(11, 21), mark="lost")
    lost = site.back_up()
    site.roll_back()
    site.write(*range(11, 31), mark="kept")
    with monkeypatch.context() as earlier:
        earlier.setattr(lineage, "pieces_in", by_name)
        earlier.setattr(Store, "require_restorable", lambda store, record: None)
        mixed = site.back_up(reference=lost.id)
    assert any(len(segment.pieces) > 1 for segment in mixed.record.log)
    with pytest.raises(DataDamaged, match=f"put together from {lost.id}, {mixed.id}"):
        verify_backup(site.target, site.catalog, mixed.id, site.clock)
    site.write(31, mark="kept")
    good = site.back_up()
    verify_backup(site.target, site.catalog, good.id, site.clock)
    assert site.restored_backup(good) == marks(1, 10) | marks(11, 31, "kept")


def test_create_proves_what_it_wrote_and_leaves_nothing_that_does_not_restore(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write(*range(1, 11))
    before = os.listdir(site.root)

    def damaged(store: Store, record: Record) -> None:
        raise DataDamaged("it does not restore", path=site.target.location)

    monkeypatch.setattr(Store, "require_restorable", damaged)
    with pytest.raises(DataDamaged, match="does not restore"):
        site.back_up(incremental=False)
    assert site.catalog.entries == []
    assert os.listdir(site.root / "backups") == ["LOCK"]
    assert set(os.listdir(site.root)) == {*before, "backups"}


def test_line_that_left_another_has_a_history_of_its_own_and_says_where_it_left(site: Site) -> None:
    rolled_back(site)
    kept, lost, first = (entry.record for entry in site.catalog.entries)
    assert lost.history == first.history == kept.database != kept.history
    assert kept.branched_from is not None
    assert (kept.branched_from.history, kept.branched_from.lsn) == (lost.history, first.position.lsn)
    assert kept.continues == lost.continues == first.id
    assert kept.backup_type == "Full"
    assert kept.full_because in site.warnings[0]
    site.write(31)
    after = site.back_up().record
    assert (after.history, after.backup_type, site.warnings) == (kept.history, "Incremental", [])


def test_same_writes_at_the_same_time_on_two_lines_are_told_apart(site: Site) -> None:
    """Clock, documents and positions repeat; only what opened the database differs."""
    site.write(*range(1, 11))
    site.back_up(incremental=False)
    site.keep_image()
    now = site.clock
    site.write(11, mark="lost")
    site.write(12, mark="same")
    site.back_up()
    site.clock = type(now)(0)
    site.clock.__dict__.update(now.__dict__)
    site.roll_back()
    site.write(11, mark="kept")
    site.write(12, mark="same")
    site.write(13, mark="more")
    kept = site.back_up().record
    lost = site.catalog.entries[1].record
    assert kept.continues != lost.id
    documents = site.restored(plan_position(site.catalog, lost.position.lsn))
    assert documents[11] == "kept"


def test_position_of_either_line_can_be_restored_and_the_other_is_told(site: Site) -> None:
    rolled_back(site)
    catalog = site.catalog
    kept, lost = catalog.entries[:2]
    plan = plan_position(catalog, 15)
    assert site.restored(plan)[14] == "kept"
    assert f"--line ID restores another: {lost.id}" in plan.note
    assert site.restored(plan_position(catalog, 15, lost.id))[14] == "lost"
    assert plan_position(catalog, 15, kept.id).note == ""
    assert plan_position(catalog, 5).note == "", "there it is the same state"
    assert site.restored(plan_position(catalog, 5, lost.id)) == marks(1, 5)
    with pytest.raises(FailedPrecondition, match=f"position 25 on the line of {lost.id}"):
        plan_position(catalog, 25, lost.id)
    with pytest.raises(InvalidArgument, match="not found"):
        plan_position(catalog, 5, "20200101T000000Z")


def test_going_back_and_forth_between_images_never_mixes_them(site: Site) -> None:
    site.write(*range(1, 6))
    site.back_up(incremental=False)
    site.keep_image("one")
    site.write(*range(6, 11), mark="a")
    site.back_up()
    site.keep_image("two")
    expected = {}
    for number in range(6):
        site.roll_back("one" if number % 2 else "two")
        first = 6 if number % 2 else 11
        site.write(*range(first, 20 + number), mark=f"{number}")
        entry = site.back_up()
        before = marks(1, 5) if number % 2 else marks(1, 5) | marks(6, 10, "a")
        expected[entry.id] = before | marks(first, 19 + number, f"{number}")
    for entry in site.catalog.entries[: len(expected)]:
        assert site.restored_backup(entry) == expected[entry.id]


@pytest.mark.parametrize("flush", [False, True])
def test_incremental_backup_after_a_restore_succeeds_and_says_what_it_did(site: Site, flush: bool) -> None:
    site.write(*range(1, 11), flush=flush)
    first = site.back_up(incremental=False)
    site.write(*range(11, 21))
    site.back_up()
    site.restore_in_place(first)
    manifest = read_manifest(FILES, site.data)
    assert manifest.branched_from is not None
    assert (manifest.branched_from.history, manifest.branched_from.lsn) == (
        first.record.history,
        first.record.position.lsn,
    )
    site.write(21)
    after = site.back_up()
    assert site.restored_backup(after) == marks(1, 10) | marks(21, 21)
    if flush:
        assert (set(after.record.needs), after.record.full_because) == ({first.id}, "")
        return
    assert after.record.backup_type == "Full"
    assert f"position {first.record.position.lsn} of {first.record.history}" in after.record.full_because
    assert "it was restored" in site.warnings[0]
    assert site.back_up().record.backup_type == "Incremental"


def test_scheduled_backup_after_a_restore_is_a_full_one_and_says_so(site: Site) -> None:
    site.write(*range(1, 11))
    first = site.back_up(incremental=False)
    site.restore_in_place(first)
    site.write(11)
    request = RunRequest(
        data_dir=site.data, backup_dir=str(site.root / "backups"), full_after_days=7, retention=None
    )
    report = run(request)
    assert any(text.startswith("a full backup was made: the database began") for text in report.warnings)
    made = site.catalog.find(report.backup_id)
    assert (made.record.backup_type, report.documents) == ("Full", 11)
    assert summary(made)["full_because"] == made.record.full_because != ""
    assert summary(first)["full_because"] is None


def test_incremental_backup_where_only_another_database_has_some_is_a_full_one(site: Site) -> None:
    site.write(1)
    site.back_up(incremental=False)
    other = Site(site.root / "other")
    other.root.mkdir()
    other.target = site.target
    other.write(1, mark="other")
    entry = other.back_up()
    assert entry.record.full_because == "none of the earlier backups is of this database"
    assert other.restored_backup(entry) == {1: "other"}


def test_backup_whose_parent_is_damaged_is_a_full_one(site: Site) -> None:
    site.write(*range(1, 11))
    first = site.back_up(incremental=False)
    archive = site.root / "backups" / filename.archive(first.id)
    content = bytearray(archive.read_bytes())
    content[content.index(b"KYROWAL1") + 100] ^= 1
    archive.write_bytes(content)
    site.write(11)
    second = site.back_up()
    assert second.record.needs == frozenset()
    assert "does not match its digest" in second.record.full_because
    assert site.restored_backup(second) == marks(1, 11)


def test_backup_resting_on_an_exchanged_archive_does_not_count_as_one_that_restores(site: Site) -> None:
    site.write(*range(1, 11))
    first = site.back_up(incremental=False)
    site.write(11)
    second = site.back_up()
    other = Site(site.root / "other")
    other.root.mkdir()
    other.write(1, mark="other")
    other.clock.step_wall((first.record.created_us - other.clock.wall_us()) / 1e6)
    impostor = other.back_up(incremental=False)
    for name in (filename.archive, filename.entry):
        source = (other.root / "backups" / name(impostor.id)).read_bytes()
        (site.root / "backups" / name(first.id)).write_bytes(source)
    if impostor.id == first.id:
        assert "that differs from" in site.catalog.fault(site.catalog.find(second.id))
    assert [entry.id for entry in site.catalog.restorable()] in ([first.id], [])
