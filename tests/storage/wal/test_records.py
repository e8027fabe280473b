"""Records of an operation frame."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykyro.model.metadata_wire import encode_metadata
from pykyro.model.types import TENANT_INDEX_KEY, Key, Scope, Vector, key_of
from pykyro.storage.wal.records import (
    DeleteRecord,
    KeyRecord,
    MergeRecord,
    MetadataRecord,
    PutRecord,
    Record,
    decode_records,
    metadata_after,
)
from pykyro.storage.wal.writer import encode_records, with_key

doc_ids = st.integers(0, 2**64 - 1)
metadata = st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=4)
vectors = st.lists(st.floats(width=32, allow_nan=False), max_size=6).map(
    lambda values: np.array(values, dtype=np.float32)
)


def put_record(key: Key, vector: Vector, metadata: dict[str, str]) -> PutRecord:
    return PutRecord(key, vector, metadata, encode_metadata(metadata))


def metadata_record(key: Key, metadata: dict[str, str]) -> MetadataRecord:
    return MetadataRecord(key, metadata, encode_metadata(metadata))


def merge_record(key: Key, changes: dict[str, str]) -> MergeRecord:
    return MergeRecord(key, changes, encode_metadata(changes))


records = st.one_of(
    st.builds(put_record, doc_ids, vectors, metadata),
    st.builds(DeleteRecord, doc_ids),
    st.builds(metadata_record, doc_ids, metadata),
    st.builds(merge_record, doc_ids, metadata),
)

keys = st.builds(key_of, st.none() | st.integers(0, 2**32 - 1), doc_ids)
owned_records = st.one_of(
    st.builds(put_record, keys, vectors, metadata),
    st.builds(DeleteRecord, keys),
    st.builds(metadata_record, keys, metadata),
    st.builds(merge_record, keys, metadata),
)


def as_values(record: Record) -> tuple[object, ...]:
    if isinstance(record, PutRecord):
        return "put", record.key, np.asarray(record.vector).tobytes(), dict(record.metadata)
    if isinstance(record, MetadataRecord):
        return "metadata", record.key, dict(record.metadata)
    if isinstance(record, MergeRecord):
        return "merge", record.key, dict(record.changes), record.wire
    return "delete", record.key


@given(st.lists(records, max_size=5))
def test_records_come_back_bit_for_bit(given_records: list[Record]) -> None:
    decoded = decode_records(encode_records(given_records, tenanted=False), tenanted=False)
    assert [as_values(r) for r in decoded] == [as_values(r) for r in given_records]


@given(st.lists(owned_records, max_size=5))
def test_records_of_a_database_with_tenants_come_back_bit_for_bit(given_records: list[Record]) -> None:
    content = encode_records(given_records, tenanted=True)
    for tenanted in (True, False):
        decoded = decode_records(content, tenanted=tenanted)
        assert [as_values(r) for r in decoded] == [as_values(r) for r in given_records]
        assert all(r.certain for r in decoded if isinstance(r, DeleteRecord))


@given(st.lists(records, min_size=1, max_size=3), st.data(), st.booleans())
def test_every_cut_is_refused(given_records: list[Record], data: st.DataObject, tenanted: bool) -> None:
    content = encode_records(given_records, tenanted=tenanted)
    length = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(ValueError):
        decode_records(content[:length], tenanted=tenanted)


@given(st.binary(max_size=60))
def test_rubbish_raises_nothing_but_valueerror(content: bytes) -> None:
    try:
        decode_records(content, tenanted=True)
    except ValueError:
        pass
    else:
        assert len(content) >= 4


def record(kind: int, vector_bytes: int, metadata_bytes: int) -> bytes:
    return struct.pack("<IBQII", 1, kind, 7, vector_bytes, metadata_bytes) + bytes(
        vector_bytes + metadata_bytes
    )


def owned_record(kind: int, vector_bytes: int, metadata_bytes: int, owner: int = 1) -> bytes:
    return struct.pack("<IBQQII", 1, kind, 7, owner, vector_bytes, metadata_bytes) + bytes(
        vector_bytes + metadata_bytes
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (record(1, 6, 0), "kind 1 with 6 vector"),
        (record(2, 4, 0), "kind 2 with 4 vector"),
        (record(2, 0, 1), "kind 2 with 0 vector and 1 metadata"),
        (record(3, 4, 0), "kind 3 with 4 vector"),
        (owned_record(7, 4, 0), "kind 7 with 4 vector"),
        (owned_record(7, 0, 0, owner=2**32 + 1), "is no tenant's"),
        (owned_record(8, 0, 0), "kind 8"),
        (owned_record(10, 0, 0), "kind 10"),
        (record(0, 0, 0), "kind 0"),
        (owned_record(4, 6, 0), "kind 4 with 6 vector"),
        (owned_record(5, 4, 0), "kind 5 with 4 vector"),
        (owned_record(6, 4, 0), "kind 6 with 4 vector"),
        (owned_record(5, 0, 0, owner=2**32 + 1), "owner 4294967297 of document 7 is no tenant's"),
        (owned_record(5, 0, 0)[:-1], "cut short"),
        (record(2, 0, 0) + b"x", "bytes after the last record"),
        (record(1, 8, 0)[:-1], "longer than its frame"),
        (record(2, 0, 0)[:-1], "cut short"),
        (b"\1\0\0", "no record count"),
    ],
)
def test_form_that_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_records(content, tenanted=True)


def test_golden_bytes() -> None:
    content = encode_records(
        [put_record(1, np.array([1.0], dtype=np.float32), {"a": "b"}), DeleteRecord(2)],
        tenanted=False,
    )
    assert content.hex() == (
        "02000000" "01" "0100000000000000" "04000000" "08000000" "0000803f" "22060a0161120162"
        "02" "0200000000000000" "00000000" "00000000"
    )  # fmt: skip


def test_golden_bytes_of_a_database_with_tenants() -> None:
    put = put_record(key_of(0, 1), np.array([1.0], dtype=np.float32), {"a": "b"})
    content = encode_records(
        [put, DeleteRecord(2), DeleteRecord(key_of(2**32 - 1, 2**64 - 1))], tenanted=True
    )
    assert content.hex() == (
        "03000000" "04" "0100000000000000" "0100000000000000" "04000000" "08000000" "0000803f" "22060a0161120162"
        "05" "0200000000000000" "0000000000000000" "00000000" "00000000"
        "05" "ffffffffffffffff" "0000000001000000" "00000000" "00000000"
    )  # fmt: skip


def test_golden_bytes_of_merges() -> None:
    record = merge_record(2, {"a": "b"})
    for tenanted in (False, True):
        assert encode_records([record], tenanted=tenanted).hex() == (
            "01000000" "07" "0200000000000000" "0000000000000000" "00000000" "08000000" "22060a0161120162"
        )  # fmt: skip
    assert encode_records([merge_record(key_of(0, 1), {})], tenanted=True).hex() == (
        "01000000" "07" "0100000000000000" "0100000000000000" "00000000" "00000000"
    )  # fmt: skip


def test_a_merge_sets_its_entries_and_metadata_replaces_them_all() -> None:
    before = {"a": "1", "b": "2"}
    assert metadata_after(merge_record(1, {"b": "3", "c": ""}), before) == {"a": "1", "b": "3", "c": ""}
    assert metadata_after(metadata_record(1, {"c": ""}), before) == {"c": ""}
    assert before == {"a": "1", "b": "2"}


NOBODYS = 2**32 + 7
ACMES = key_of(1, 7)


def packed(*, tenant: int | None, doc_id: int = NOBODYS) -> PutRecord:
    """A document as earlier versions put it into the log."""
    return put_record(doc_id, np.zeros(2, np.float32), Scope(tenant).constraints)


@pytest.mark.parametrize(
    ("tenant", "doc_id", "key", "twin"),
    [
        (1, NOBODYS, ACMES, NOBODYS),
        (None, NOBODYS, NOBODYS, ACMES),
        (0, 7, key_of(0, 7), 7),
        (None, 7, 7, key_of(0, 7)),
        (2**32 - 1, 2**64 - 1, key_of(2**32 - 1, 2**32 - 1), 2**64 - 1),
        (None, 2**64 - 1, 2**64 - 1, key_of(2**32 - 1, 2**32 - 1)),
    ],
)
def test_a_packed_put_took_the_place_of_its_twin(
    tenant: int | None, doc_id: int, key: Key, twin: Key
) -> None:
    content = encode_records([packed(tenant=tenant, doc_id=doc_id)], tenanted=False)
    twins, put = decode_records(content, tenanted=True)
    assert twins == DeleteRecord(twin, certain=False)
    assert (type(put), put.key) == (PutRecord, key)
    (alone,) = decode_records(content, tenanted=False)
    assert (type(alone), alone.key) == (PutRecord, key)


def test_a_packed_delete_removed_whichever_was_there() -> None:
    content = encode_records([DeleteRecord(NOBODYS)], tenanted=False)
    assert set(decode_records(content, tenanted=True)) == {
        DeleteRecord(NOBODYS, certain=False),
        DeleteRecord(ACMES, certain=False),
    }
    assert decode_records(content, tenanted=False) == [DeleteRecord(NOBODYS)]


def test_packed_metadata_says_whose_it_is() -> None:
    for tenant, key in ((1, ACMES), (None, NOBODYS)):
        content = encode_records([metadata_record(NOBODYS, Scope(tenant).constraints)], tenanted=False)
        (found,) = decode_records(content, tenanted=True)
        assert (type(found), found.key) == (MetadataRecord, key)


@pytest.mark.parametrize("index", ["", "-1", "x", "1.0", "4294967296", "\u0661", "0" * 11])
def test_packed_metadata_that_names_no_tenant_is_refused(index: str) -> None:
    content = encode_records([metadata_record(7, {TENANT_INDEX_KEY: index})], tenanted=False)
    with pytest.raises(ValueError, match="is no tenant's number"):
        decode_records(content, tenanted=True)


@given(
    st.lists(doc_ids, max_size=3),
    st.builds(
        KeyRecord,
        st.integers(0, 2**32),
        st.binary(min_size=1, max_size=128),
        st.binary(min_size=16, max_size=16),
        st.integers(0, 2**64 - 1),
    ),
    st.booleans(),
)
def test_a_key_comes_back_beside_the_records(ids: list[int], key: KeyRecord, tenanted: bool) -> None:
    content = encode_records([DeleteRecord(doc_id) for doc_id in ids], tenanted=tenanted) if ids else b""
    keys: list[KeyRecord] = []
    found = decode_records(with_key(content, key), tenanted=False, keys=keys)
    assert [record.key for record in found] == ids
    assert keys == [key]
    with pytest.raises(ValueError, match=r"idempotency key|cut short|bytes after"):
        decode_records(with_key(content, key)[:-1], tenanted=False)
