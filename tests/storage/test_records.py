"""Records of an operation frame."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyrodb.storage.records import (
    DeleteRecord,
    MetadataRecord,
    PutRecord,
    Record,
    decode_records,
    encode_records,
)

doc_ids = st.integers(0, 2**64 - 1)
metadata = st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=4)
vectors = st.lists(st.floats(width=32, allow_nan=False), max_size=6).map(
    lambda values: np.array(values, dtype=np.float32)
)
records = st.one_of(
    st.builds(PutRecord, doc_ids, vectors, metadata),
    st.builds(DeleteRecord, doc_ids),
    st.builds(MetadataRecord, doc_ids, metadata),
)


def as_values(record: Record) -> tuple[object, ...]:
    if isinstance(record, PutRecord):
        return "put", record.doc_id, np.asarray(record.vector).tobytes(), dict(record.metadata)
    if isinstance(record, MetadataRecord):
        return "metadata", record.doc_id, dict(record.metadata)
    return "delete", record.doc_id


@given(st.lists(records, max_size=5))
def test_records_come_back_bit_for_bit(given_records: list[Record]) -> None:
    decoded = decode_records(encode_records(given_records))
    assert [as_values(r) for r in decoded] == [as_values(r) for r in given_records]


@given(st.lists(records, min_size=1, max_size=3), st.data())
def test_every_cut_is_refused(given_records: list[Record], data: st.DataObject) -> None:
    content = encode_records(given_records)
    length = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(ValueError):
        decode_records(content[:length])


@given(st.binary(max_size=60))
def test_rubbish_raises_nothing_but_valueerror(content: bytes) -> None:
    try:
        decode_records(content)
    except ValueError:
        pass
    else:
        assert len(content) >= 4


def record(kind: int, vector_bytes: int, metadata_bytes: int) -> bytes:
    return struct.pack("<IBQII", 1, kind, 7, vector_bytes, metadata_bytes) + bytes(
        vector_bytes + metadata_bytes
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (record(1, 6, 0), "kind 1 with 6 vector"),
        (record(2, 4, 0), "kind 2 with 4 vector"),
        (record(2, 0, 1), "kind 2 with 0 vector and 1 metadata"),
        (record(3, 4, 0), "kind 3 with 4 vector"),
        (record(4, 0, 0), "kind 4"),
        (record(2, 0, 0) + b"x", "bytes after the last record"),
        (record(1, 8, 0)[:-1], "longer than its frame"),
        (record(2, 0, 0)[:-1], "cut short"),
        (b"\1\0\0", "no record count"),
    ],
)
def test_form_that_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_records(content)


def test_golden_bytes() -> None:
    content = encode_records([PutRecord(1, np.array([1.0], dtype=np.float32), {"a": "b"}), DeleteRecord(2)])
    assert content.hex() == (
        "02000000" "01" "0100000000000000" "04000000" "08000000" "0000803f" "22060a0161120162"
        "02" "0200000000000000" "00000000" "00000000"
    )  # fmt: skip
