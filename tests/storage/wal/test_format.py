"""Segment headers, frames and whitening, byte by byte."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykyro.storage.wal import writer as wal_writer
from pykyro.storage.wal.format import (
    ALIGNMENT,
    KEY_STREAM,
    OPERATION,
    SECTOR,
    SEGMENT_HEADER,
    SYNCED,
    Frame,
    SegmentHeader,
    Whitening,
)
from pykyro.storage.wal.writer import encode_frame

HEADER = SegmentHeader(
    base_lsn=7, previous=0x01020304, created_us=1_700_000_000_000_000, salt=bytes(range(16))
)


def test_segment_header_as_bytes() -> None:
    data = HEADER.encode()
    assert data[:60].hex() == (
        "4b59524f57414c31" "01000000" "04030201" "0700000000000000" "00401e18240a0600"
        "000102030405060708090a0b0c0d0e0f" "000000000000000000000000"
    )  # fmt: skip
    assert data[60:] == struct.pack("<I", zlib.crc32(data[:60]))
    assert SegmentHeader.decode(data + b"frames") == HEADER


def resealed(data: bytes) -> bytes:
    return data[:60] + struct.pack("<I", zlib.crc32(data[:60]))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (HEADER.encode()[:63], "63 bytes"),
        (HEADER.encode()[:63] + b"x", "checksum"),
        (resealed(b"KYROWAL9" + HEADER.encode()[8:]), "not a WAL segment"),
        (resealed(HEADER.encode()[:8] + struct.pack("<I", 2) + HEADER.encode()[12:]), "format 2"),
    ],
)
def test_segment_header_that_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        SegmentHeader.decode(data)


@pytest.mark.parametrize("synced", [False, True])
def test_frame_as_bytes(synced: bool) -> None:
    frame, checksum = encode_frame(5, 1, 2, 3, OPERATION, b"abc", synced=synced)
    body = bytes([OPERATION | SYNCED if synced else OPERATION]) + b"abc"
    head = struct.pack("<IQQII", 4, 1, 2, 3, zlib.crc32(body, 5))
    assert checksum == zlib.crc32(body, 5)
    assert frame == head + struct.pack("<I", zlib.crc32(head, 5)) + body + bytes(28)


def test_seed_of_checksums_comes_from_the_salt() -> None:
    assert HEADER.seed == zlib.crc32(HEADER.salt)
    assert replace(HEADER, salt=bytes(16)).seed != HEADER.seed


@given(st.binary(max_size=200))
def test_frame_ends_where_the_next_may_start(content: bytes) -> None:
    data, checksum = encode_frame(0, 1, 2, 3, OPERATION, content, synced=False)
    assert len(data) % ALIGNMENT == 0
    assert Frame(1, 2, OPERATION, False, content, 64, checksum).end_offset == 64 + len(data)


@given(st.binary(max_size=300), st.integers(0, 3 * KEY_STREAM))
def test_whitening_twice_gives_the_bytes_back(data: bytes, offset: int) -> None:
    whitening = Whitening(HEADER.salt)
    white = whitening.apply(data, offset).tobytes()
    assert whitening.apply(white, offset).tobytes() == data


def test_whitening_depends_on_the_place_alone_not_on_how_bytes_are_cut() -> None:
    whitening = Whitening(HEADER.salt)
    data = bytes(700_000)  # longer than the tiled key stream
    whole = whitening.apply(data, SEGMENT_HEADER.size).tobytes()
    pieces = [
        whitening.apply(data[at : at + 1000], SEGMENT_HEADER.size + at) for at in range(0, len(data), 1000)
    ]
    assert np.concatenate(pieces).tobytes() == whole


def test_no_sector_of_zeros_is_written_as_zeros() -> None:
    whitening = Whitening(HEADER.salt)
    for start in range(0, KEY_STREAM, SECTOR):
        assert any(whitening.apply(bytes(SECTOR), start).tobytes())


def test_content_that_no_reader_would_take_is_not_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal_writer, "WAL_FRAME_BODY_BYTES_MAX", 10)
    encode_frame(0, 1, 2, 3, OPERATION, bytes(9), synced=False)
    with pytest.raises(ValueError, match="10 bytes, must be below 10"):
        encode_frame(0, 1, 2, 3, OPERATION, bytes(10), synced=False)
