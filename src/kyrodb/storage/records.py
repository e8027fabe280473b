"""What an operation frame of the log holds.

    content  = count:u32 { record }
    record   = kind:u8 doc_id:u64 vector_bytes:u32 metadata_bytes:u32 vector metadata
    kinds    = PUT (vector and metadata), DELETE (neither), METADATA (metadata only: the whole resulting map)

vector is float32, little endian, as the client sent it; metadata is encoded by metadata_wire, reserved keys
included. All records of one frame take effect or none does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from kyrodb.metadata_wire import decode_metadata, encode_metadata
from kyrodb.types import Vector

_HEAD: Final = struct.Struct("<BQII")
_COUNT: Final = struct.Struct("<I")
_PUT, _DELETE, _METADATA = 1, 2, 3


class PutRecord:
    """The document is stored, or replaced wholly. `wire` is `metadata` encoded, which every part of a write needs."""

    __slots__ = ("doc_id", "metadata", "vector", "wire")

    def __init__(
        self, doc_id: int, vector: Vector, metadata: Mapping[str, str], wire: bytes | None = None
    ) -> None:
        self.doc_id = doc_id
        self.vector = vector
        self.metadata = metadata
        self.wire = encode_metadata(metadata) if wire is None else wire


@dataclass(frozen=True, slots=True)
class DeleteRecord:
    doc_id: int


class MetadataRecord:
    """The document's metadata is replaced by this."""

    __slots__ = ("doc_id", "metadata", "wire")

    def __init__(self, doc_id: int, metadata: Mapping[str, str], wire: bytes | None = None) -> None:
        self.doc_id = doc_id
        self.metadata = metadata
        self.wire = encode_metadata(metadata) if wire is None else wire


Record: TypeAlias = PutRecord | DeleteRecord | MetadataRecord


def encode_records(records: Iterable[Record]) -> bytes:
    """The content of one operation frame."""
    parts: list[bytes] = [b""]
    count = 0
    for record in records:
        count += 1
        if isinstance(record, PutRecord):
            vector = np.asarray(record.vector, dtype="<f4").tobytes()
            parts += (_HEAD.pack(_PUT, record.doc_id, len(vector), len(record.wire)), vector, record.wire)
        elif isinstance(record, DeleteRecord):
            parts.append(_HEAD.pack(_DELETE, record.doc_id, 0, 0))
        else:
            parts += (_HEAD.pack(_METADATA, record.doc_id, 0, len(record.wire)), record.wire)
    parts[0] = _COUNT.pack(count)
    return b"".join(parts)


def decode_records(content: bytes) -> list[Record]:
    """The records of one frame. Raises ValueError when the bytes are not of that form."""
    if len(content) < _COUNT.size:
        raise ValueError("no record count")
    (count,) = _COUNT.unpack_from(content)
    position = _COUNT.size
    records: list[Record] = []
    for _ in range(count):
        if len(content) - position < _HEAD.size:
            raise ValueError("a record is cut short")
        kind, doc_id, vector_bytes, metadata_bytes = _HEAD.unpack_from(content, position)
        vector_start = position + _HEAD.size
        metadata_start = vector_start + vector_bytes
        position = metadata_start + metadata_bytes
        if position > len(content):
            raise ValueError("a record is longer than its frame")
        metadata = content[metadata_start:position]
        if kind == _PUT and vector_bytes % 4 == 0:
            vector = np.frombuffer(content, dtype="<f4", count=vector_bytes // 4, offset=vector_start)
            records.append(PutRecord(doc_id, vector, decode_metadata(metadata), metadata))
        elif kind == _DELETE and not vector_bytes and not metadata_bytes:
            records.append(DeleteRecord(doc_id))
        elif kind == _METADATA and not vector_bytes:
            records.append(MetadataRecord(doc_id, decode_metadata(metadata), metadata))
        else:
            raise ValueError(
                f"record of kind {kind} with {vector_bytes} vector and {metadata_bytes} metadata bytes"
            )
    if position != len(content):
        raise ValueError("bytes after the last record")
    return records
