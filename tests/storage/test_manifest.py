"""MANIFEST: its form, what is refused, and the order in which it reaches the disk. Bit rot: test_bit_rot.py."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from tests.crash.disk import AllKept, AllLost, Loss, OneLost
from tests.crash.fault_filesystem import Fault, FaultFS, PowerCut
from tests.storage.golden_files import manifest

from pykyro.model.errors import DataDamaged, DataDirMismatch, ResourceExhausted
from pykyro.model.limits import TENANT_INDEX_MAX, TENANT_INDEX_MIN
from pykyro.model.types import Metric
from pykyro.model.words import WordsConfig
from pykyro.storage import manifest as manifest_module
from pykyro.storage.files.checksum import digest
from pykyro.storage.manifest import (
    Manifest,
    WalEntry,
    WordsEntry,
    decode_manifest,
    encode_manifest,
    read_manifest,
    write_manifest,
)

ROOT = Path("/")
PATH = ROOT / "MANIFEST"


def small(sealed_lsn: int = 0) -> Manifest:
    return Manifest(dimension=4, metric=Metric.COSINE, history="h", next_number=1, sealed_lsn=sealed_lsn)


def with_body(body: bytes, version: bytes = b"1") -> bytes:
    """A file whose digest is right, whatever its body says."""
    return b"KYRODB-MANIFEST " + version + b" " + digest(body).encode() + b"\n" + body


def test_content_comes_back() -> None:
    assert decode_manifest(encode_manifest(manifest()), PATH) == manifest()
    names = {"wal_000000000004.wal", "wal_000000000007.wal", "segment_000000000005.rows"}
    assert names < manifest().file_names
    assert len(manifest().file_names) == 5


def test_other_format_is_a_mismatch_and_not_damage() -> None:
    body = encode_manifest(small()).partition(b"\n")[2]
    assert decode_manifest(with_body(body), PATH) == small()
    with pytest.raises(DataDirMismatch, match="manifest format 7, this program reads 1 to 6"):
        decode_manifest(with_body(body, b"7"), PATH)


def test_format_5_says_that_words_are_kept_whatever_else_there_is() -> None:
    words = WordsEntry.of(WordsConfig(("title", "body"), "english", 1.5, 0.1, stop_words=True))
    assert b"words" not in encode_manifest(small())
    for before in (small(), manifest(), small().announcing(merges=True, types=True, expiry=True)):
        one = before.model_copy(update={"words": words})
        data = encode_manifest(one)
        assert data.startswith(b"KYRODB-MANIFEST 5 ")
        assert decode_manifest(data, PATH) == one
        for claimed in (b"1", b"2", b"3", b"4"):
            with pytest.raises(DataDamaged, match="another format than its content"):
                decode_manifest(with_body(data.partition(b"\n")[2], claimed), PATH)


def test_format_4_says_that_ids_are_text_whatever_else_there_is() -> None:
    assert b"text_ids" not in encode_manifest(small())
    for before in (small(), manifest(), small().announcing(merges=True, types=True)):
        one = before.model_copy(update={"text_ids": "0123456789abcdef" * 2})
        data = encode_manifest(one)
        assert data.startswith(b"KYRODB-MANIFEST 4 ")
        assert decode_manifest(data, PATH) == one
        for claimed in (b"1", b"2", b"3"):
            with pytest.raises(DataDamaged, match="another format than its content"):
                decode_manifest(with_body(data.partition(b"\n")[2], claimed), PATH)


def test_format_3_says_that_the_log_may_hold_merges_and_nothing_else_does() -> None:
    assert (small().format, manifest().format) == (1, 2)
    assert b"has_merges" not in encode_manifest(manifest())
    for before in (small(), manifest()):
        after = before.announcing(merges=True)
        assert (after.format, after.has_merges) == (3, True)
        assert encode_manifest(after).startswith(b"KYRODB-MANIFEST 3 ")
        assert decode_manifest(encode_manifest(after), PATH) == after
    for claimed, one in (
        (b"3", small()),
        (b"2", small().announcing(merges=True)),
        (b"1", small().announcing(merges=True)),
    ):
        body = encode_manifest(one).partition(b"\n")[2]
        with pytest.raises(DataDamaged, match="another format than its content"):
            decode_manifest(with_body(body, claimed), PATH)


def test_values_with_types_raise_the_format() -> None:
    plain, typed = manifest(), manifest().announcing(types=True)
    assert encode_manifest(plain).startswith(b"KYRODB-MANIFEST 2 ")
    assert b"has_types" not in encode_manifest(plain)
    assert encode_manifest(typed).startswith(b"KYRODB-MANIFEST 3 ")
    assert decode_manifest(encode_manifest(typed), PATH) == typed
    assert encode_manifest(small().announcing(types=True)).startswith(b"KYRODB-MANIFEST 3 ")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"dimension": 0}',
        small().model_dump_json().replace('"next_number":1', '"next_number":-1').encode(),
        small().model_dump_json().replace('"next_number":1', '"next_number":1.5').encode(),
        small().model_dump_json().replace("cosine", "manhattan").encode(),
        small().model_dump_json().replace('"history"', '"surplus":1,"history"').encode(),
        small().model_copy(update={"tenants": {"a": 1, "b": 1}}).model_dump_json().encode(),
        b"[" * 100_000,
        b'{"history": "\\ud800"}',
    ],
)
def test_body_that_is_whole_and_wrong_is_damage(body: bytes) -> None:
    with pytest.raises(DataDamaged):
        decode_manifest(with_body(body), PATH)


@pytest.mark.parametrize(
    "name", ["../etc/passwd", "wal_1.wal/../x", "wal_0.rows\n", "MANIFEST", "wal_0.txt", "/wal_0.wal"]
)
def test_names_that_lead_elsewhere_are_damage(name: str) -> None:
    text = small().model_copy(update={"wal": (WalEntry.model_construct(name=name, base_lsn=1),)})
    with pytest.raises(DataDamaged):
        decode_manifest(with_body(text.model_dump_json(warnings=False).encode()), PATH)


def test_wal_entries_are_replaced_by_name_or_appended() -> None:
    first, second = WalEntry(name="wal_1.wal", base_lsn=1), WalEntry(name="wal_2.wal", base_lsn=5)
    both = small().with_wal(first).with_wal(second)
    assert both.wal == (first, second)
    closed = first.model_copy(update={"last_lsn": 4, "end_offset": 200})
    assert both.with_wal(closed).wal == (closed, second)
    assert both.with_wal(second).wal == (first, second)


def test_tenants_keep_their_numbers_and_share_none() -> None:
    two = small().with_tenants(["a", "b", "a"])
    assert two.tenants == {"a": TENANT_INDEX_MIN, "b": TENANT_INDEX_MIN + 1}
    assert two.with_tenants(["c", "a"]).tenants["c"] == TENANT_INDEX_MIN + 2
    full = small().model_copy(update={"tenants": {"last": TENANT_INDEX_MAX}})
    assert full.with_tenants(["last"]).tenants == {"last": TENANT_INDEX_MAX}
    with pytest.raises(ResourceExhausted):
        full.with_tenants(["one more"])


def test_the_format_is_raised_by_the_first_tenant() -> None:
    assert encode_manifest(small()).startswith(b"KYRODB-MANIFEST 1 ")
    assert encode_manifest(small().with_tenants(["a"])).startswith(b"KYRODB-MANIFEST 2 ")


def test_it_is_replaced_in_the_only_safe_order() -> None:
    disk = FaultFS()
    write_manifest(disk, ROOT, small())
    calls = [str(call) for call in disk.calls]
    assert calls == [
        "create MANIFEST.tmp",
        "write MANIFEST.tmp",
        "sync MANIFEST.tmp",
        "replace MANIFEST",
        "sync_directory ",
    ]
    assert read_manifest(disk.crash(AllLost()), ROOT) == small()


def test_power_cut_leaves_the_old_one_or_the_new_one_whole() -> None:
    seen = set()
    for call in range(5, 12):
        disk = FaultFS()
        write_manifest(disk, ROOT, small(1))
        disk.faults = [Fault(call, "cut")]
        with contextlib.suppress(PowerCut):
            write_manifest(disk, ROOT, small(2))
        losses: list[Loss] = [AllLost(), AllKept(), *map(OneLost, disk.pending_units)]
        for loss in losses:
            seen.add(read_manifest(disk.crash(loss), ROOT).sealed_lsn)
    assert seen == {1, 2}


def test_missing_is_not_damaged() -> None:
    with pytest.raises(FileNotFoundError):
        read_manifest(FaultFS(), ROOT)


def test_one_too_long_to_be_read_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FaultFS()
    data = encode_manifest(small())
    monkeypatch.setattr(manifest_module, "MANIFEST_BYTES_MAX", len(data))
    write_manifest(disk, ROOT, small())
    monkeypatch.setattr(manifest_module, "MANIFEST_BYTES_MAX", len(data) - 1)
    with pytest.raises(OSError, match="exceeds"):
        write_manifest(disk, ROOT, small())
