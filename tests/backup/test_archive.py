"""Archives: `tar` reads them, every flipped byte is noticed, and nothing a stranger made is believed."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.backup.played import BACKUPS, RESTORED, Played, operations, played, write
from tests.crash.clock import FakeClock
from tests.crash.disk import AllKept
from tests.crash.fault_filesystem import CHANGES, FaultFS
from tests.crash.oracle import Doc

from pykyro.backup import filename
from pykyro.backup.archive.format import BLOCK, END, Header, decode_header, encode_header, padding
from pykyro.backup.archive.reader import open_archive
from pykyro.backup.archive.record import Record, decode_record, encode_record, seal_json
from pykyro.backup.history.catalog import read_catalog
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import RestorePlan
from pykyro.backup.offline_reader import OfflineReader
from pykyro.backup.restore import restore
from pykyro.backup.target.target import DirectoryTarget
from pykyro.backup.verify import verify_backup
from pykyro.model.errors import DataDamaged, KyroError
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.verify import verify_directory

names = st.sampled_from(
    [
        "MANIFEST",
        "BACKUP.json",
        "wal_000000000007.wal",
        "wal_000000000007.wal.8192",
        "segment_000000000012.rows",
    ]
)


@given(names, st.integers(0, 2**63 - 1), st.integers(0, 2**33))
def test_header_reads_back_and_so_does_every_tar(name: str, size_bytes: int, time_s: int) -> None:
    header = Header(name, size_bytes, time_s)
    block = encode_header(header)
    assert len(block) == BLOCK
    assert decode_header(block) == header
    theirs = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    assert (theirs.name, theirs.size, theirs.mtime, theirs.mode) == (name, size_bytes, time_s, 0o600)
    assert theirs.isreg()


def test_header_has_the_same_bytes_under_every_version_of_python() -> None:
    headers = (
        Header("MANIFEST", 4096, 1_748_779_200),
        Header("segment_000000000012.rows", 8**11 + 5, 1_748_779_200),
    )
    digests = [hashlib.sha256(encode_header(header)).hexdigest()[:16] for header in headers]
    assert digests == ["033e39185dc98dc7", "75c94231e3a4ef2f"]


@given(st.integers(0, BLOCK * 8 - 1))
def test_any_flipped_bit_of_a_header_is_refused(bit: int) -> None:
    block = bytearray(encode_header(Header("segment_000000000012.rows", 8**11 + 5, 1_748_779_200)))
    block[bit >> 3] ^= 1 << (bit & 7)
    with pytest.raises(ValueError, match="header"):
        decode_header(bytes(block))


@pytest.mark.parametrize("name", ["", "x" * 100, "ü"])
def test_name_that_does_not_fit_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        encode_header(Header(name, 0, 0))


# --- a real archive -------------------------------------------------------------------------------


@cache
def past() -> Played:
    """A full backup, and an incremental one that needs it."""
    played = Played()
    for number, operation in enumerate(operations(24, seed=9, ids=8), 1):
        played.write(operation)
        assert played.engine is not None
        if number in (10, 20):
            played.engine.flush()
        if number == 14:
            played.back_up()
    played.back_up(incremental=True)
    assert played.backups[1].record.needs == {played.backups[0].id}
    return played


def archive_path(number: int = 0) -> Path:
    return BACKUPS / filename.archive(past().backups[number].id)


def test_tar_unpacks_a_full_backup_to_a_directory_that_is_whole(tmp_path: Path) -> None:
    packed, unpacked = tmp_path / "b.tar", tmp_path / "data"
    packed.write_bytes(past().disk.read(archive_path()))
    unpacked.mkdir()
    subprocess.run(["tar", "-xf", packed, "-C", unpacked], check=True)
    report = verify_directory(LocalFileSystem(), unpacked)
    assert report.damage == []
    assert report.last_lsn == past().backups[0].record.position.lsn


def test_tar_and_cat_put_an_incremental_backup_together(tmp_path: Path) -> None:
    """The commands of the documentation, for where this program is not at hand."""
    past = played(30, flush_at=(10,))
    past.back_up()
    for seed in (5, 6):
        write(past, 5, seed=seed)
        past.back_up(incremental=True)
    last = past.backups[-1].record
    chain = [*sorted(last.needs), last.id]
    assert len(chain) == 3
    for backup_id in chain:
        (tmp_path / f"{backup_id}.tar").write_bytes(past.disk.read(BACKUPS / filename.archive(backup_id)))
        subprocess.run(["tar", "-xf", f"{backup_id}.tar"], cwd=tmp_path, check=True)
    for segment in last.needed_log:
        pieces = [piece.member(segment.name) for piece in segment.pieces]
        assert len(pieces) == 3
        subprocess.run(f"cat {' '.join(pieces[1:])} >> {pieces[0]}", shell=True, cwd=tmp_path, check=True)
    assert verify_directory(LocalFileSystem(), tmp_path).damage == []
    found = {
        d.doc_id: Doc.of(d.vector, d.metadata) for d in OfflineReader(LocalFileSystem(), tmp_path).documents()
    }
    assert found == past.state_at(last.position.lsn)


@pytest.mark.parametrize(("number", "step"), [(0, 1), (1, 7)], ids=["full", "incremental"])
def test_flipped_bytes_of_an_archive_are_noticed(number: int, step: int) -> None:
    """Without the label too, which states the digest of the whole: the archive proves itself."""
    disk = past().disk.crash(AllKept())
    target, path = DirectoryTarget(disk, BACKUPS), archive_path(number)
    disk.remove(BACKUPS / filename.entry(past().backups[number].id))
    backup_id = past().backups[number].id
    open_archive(target, backup_id).verify()
    for at in range(0, disk.size(path), step):
        disk.flip(path, at * 8 + at % 8)
        with pytest.raises(DataDamaged):
            open_archive(target, backup_id).verify()
        disk.flip(path, at * 8 + at % 8)


def test_flipped_byte_in_a_backup_that_is_needed_fails_the_one_that_needs_it() -> None:
    disk = past().disk.crash(AllKept())
    target = DirectoryTarget(disk, BACKUPS)
    disk.flip(archive_path(0), 8 * (BLOCK + 100))
    catalog = read_catalog(target)
    for entry in past().backups:
        with pytest.raises(DataDamaged):
            verify_backup(target, catalog, entry.id, FakeClock())


def test_every_cut_archive_is_refused() -> None:
    content = past().disk.read(archive_path())
    for length in [*range(0, len(content), BLOCK), len(content) - 1, len(content) + 1]:
        if length != len(content):
            with pytest.raises(KyroError):
                opened(content.ljust(length, b"\0")[:length])


# --- archives that somebody made ------------------------------------------------------------------

Members = list[tuple[str, bytes]]


def members() -> Members:
    with tarfile.open(fileobj=io.BytesIO(past().disk.read(archive_path()))) as archive:
        found = []
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            found.append((member.name, file.read()))
        return found


def packed(contents: Members) -> bytes:
    """An archive of these members, each in its place, the last one the record."""
    time_s = past().backups[0].record.created_us // 1_000_000
    parts = []
    for name, data in contents:
        parts += [encode_header(Header(name, len(data), time_s)), data, bytes(padding(len(data)))]
    return b"".join(parts) + END


def opened(content: bytes) -> Record:
    """What the reader makes of such an archive; it must not have written anything."""
    disk = FaultFS()
    disk.make_directory(BACKUPS)
    file = disk.create(BACKUPS / filename.archive(past().backups[0].id))
    file.write(content)
    file.close()
    calls = len(disk.calls)
    target = DirectoryTarget(disk, BACKUPS)
    try:
        archive = open_archive(target, past().backups[0].id)
        archive.verify()
        return archive.record
    finally:
        assert not [call for call in disk.calls[calls:] if call.name in CHANGES]


def edited(change: Callable[[dict[str, object]], None]) -> bytes:
    """The record with a change, its digest made to fit."""
    record = json.loads(members()[-1][1])["record"]
    change(record)
    return seal_json(json.dumps(record).encode())


def test_archive_packed_again_is_the_same() -> None:
    assert packed(members()) == past().disk.read(archive_path())
    assert opened(packed(members())) == past().backups[0].record


@pytest.mark.parametrize(
    "name",
    [
        "../MANIFEST",
        "/etc/passwd",
        "a/MANIFEST",
        "LOCK",
        "MANIFEST.tmp",
        "segment_000000000012.rows.tmp",
        "wal_000000000007.wal.0",
        "wal_000000000007.wal.007",
        "api_keys.yaml",
        "segment_1.rows",
        "MANIFEST\n",
        " MANIFEST",
    ],
)
def test_member_with_a_name_we_do_not_write_is_refused(name: str) -> None:
    with pytest.raises(DataDamaged, match="unknown name"):
        opened(packed([(name, b"x"), *members()]))


def test_member_that_is_there_twice_is_refused() -> None:
    with pytest.raises(DataDamaged, match="twice"):
        opened(packed([members()[0], *members()]))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, b"x", b"L"]
)
def test_links_and_directories_are_refused(kind: bytes) -> None:
    odd = tarfile.TarInfo("segment_000000000099.rows")
    odd.type, odd.linkname = kind, "/etc/passwd"
    with pytest.raises(DataDamaged, match="header"):
        opened(odd.tobuf(tarfile.USTAR_FORMAT) + packed(members()))


def test_member_that_claims_more_than_there_is_is_refused() -> None:
    content = packed(members())
    name, data = members()[0]
    time_s = past().backups[0].record.created_us // 1_000_000
    for claimed in (len(content), 2**40, 2**63 - 1):
        lying = encode_header(Header(name, claimed, time_s)) + content[BLOCK:]
        with pytest.raises(DataDamaged, match="claims"):
            opened(lying)
    shorter = encode_header(Header(name, len(data) - 1, time_s)) + content[BLOCK:]
    with pytest.raises(DataDamaged):
        opened(shorter)


def test_members_that_the_record_does_not_state_are_refused() -> None:
    with pytest.raises(DataDamaged, match="do not match"):
        opened(packed([("segment_000000000099.rows", b"x"), *members()]))
    with pytest.raises(DataDamaged, match="do not match"):
        opened(packed(members()[1:]))


def test_archive_without_a_record_or_with_members_behind_it_is_refused() -> None:
    with pytest.raises(DataDamaged, match=r"BACKUP\.json is missing"):
        opened(packed(members()[:-1]))
    with pytest.raises(DataDamaged, match="after the record"):
        opened(packed([members()[-1], *members()[:-1]]))


def test_bytes_between_and_behind_members_are_refused() -> None:
    content = packed(members())
    _, data = members()[0]
    assert padding(len(data))
    dirty = bytearray(content)
    dirty[BLOCK + len(data)] = 1
    with pytest.raises(DataDamaged, match="padding"):
        opened(bytes(dirty))
    with pytest.raises(DataDamaged):
        opened(content + bytes(BLOCK))


def test_archive_of_another_backup_under_this_name_is_refused() -> None:
    with pytest.raises(DataDamaged, match="belongs to backup"):
        opened(past().disk.read(archive_path(1)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "../../etc"),
        ("parent_id", "x/y"),
        ("history", "a\nb"),
        ("documents", -1),
        ("documents", 2**64),
        ("dimension", 0),
        ("format", 2),
        (
            "files",
            [{"name": "../x", "size_bytes": 1, "digest": "0" * 32, "manifest_digest": "", "archive": "x"}],
        ),
        ("log", []),
        ("sealed_lsn", 10**9),
        ("surprise", 1),
    ],
)
def test_record_with_an_odd_field_is_refused(field: str, value: object) -> None:
    record = edited(lambda content: content.__setitem__(field, value))
    with pytest.raises(DataDamaged, match=r"BACKUP\.json"):
        opened(packed([*members()[:-1], ("BACKUP.json", record)]))


@given(st.binary(max_size=300))
def test_any_bytes_as_a_record_are_refused_with_a_reason(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode_record(data)
    with pytest.raises(ValueError):
        decode_record(encode_record(past().backups[0].record)[:-2] + data + b"}\n}")


def test_deep_json_is_refused() -> None:
    with pytest.raises(ValueError):
        decode_record(seal_json(b'{"a":' * 100_000 + b"1" + b"}" * 100_000))


@given(st.binary(max_size=2048))
def test_any_bytes_as_an_archive_are_refused_with_a_reason(data: bytes) -> None:
    with pytest.raises(DataDamaged):
        opened(data)


# --- what a restore does with them ----------------------------------------------------------------


def test_damage_that_shows_only_while_reading_leaves_nothing_behind() -> None:
    """The structure is fine, one member's content is not: the restore has begun by then, in its staging directory."""
    disk = past().disk.crash(AllKept())
    target = DirectoryTarget(disk, BACKUPS)
    disk.flip(archive_path(0), 8 * (BLOCK + 100))
    record = past().backups[0].record
    plan = RestorePlan(record, record, record.needed_log, record.position.lsn)
    with pytest.raises(DataDamaged, match="does not match its digest"):
        restore(disk, RESTORED, Store(target), plan, FakeClock(), allow_clear=True)
    assert RESTORED.name not in disk.names(RESTORED.parent)
    assert not [name for name in disk.names(RESTORED.parent) if name.startswith(RESTORED.name)]


def test_archive_that_was_exchanged_for_another_is_noticed_by_what_needs_it() -> None:
    """An attacker, or a mix-up, puts a well-formed archive in place of the one an incremental backup needs."""
    disk = past().disk.crash(AllKept())
    target = DirectoryTarget(disk, BACKUPS)
    record = past().backups[0].record
    contents = [(n, d) for n, d in members() if not n.startswith("segment")]
    kept = tuple(f for f in record.files if not f.name.startswith("segment"))
    false = record.model_copy(update={"files": kept})
    disk.remove(archive_path(0))
    file = disk.create(archive_path(0))
    file.write(packed([*contents[:-1], ("BACKUP.json", encode_record(false))]))
    file.close()
    disk.remove(BACKUPS / filename.entry(record.id))
    catalog = read_catalog(target)
    with pytest.raises(DataDamaged, match="that differs from"):
        verify_backup(target, catalog, past().backups[1].id, FakeClock())


def test_well_formed_archive_that_is_not_the_one_of_its_label_is_refused() -> None:
    disk = past().disk.crash(AllKept())
    target, record = DirectoryTarget(disk, BACKUPS), past().backups[0].record
    false = record.model_copy(update={"documents": record.documents + 1})
    disk.remove(archive_path(0))
    file = disk.create(archive_path(0))
    file.write(packed([*members()[:-1], ("BACKUP.json", encode_record(false))]))
    file.close()
    assert disk.size(archive_path(0)) == past().backups[0].size_bytes
    with pytest.raises(DataDamaged, match="Checksum mismatch: expected 0x"):
        verify_backup(target, read_catalog(target), record.id, FakeClock())
