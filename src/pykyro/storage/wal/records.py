"""What an operation frame of the log holds.

    content  = count:u32 { record }
    record   = kind:u8 doc_id:u64           vector_bytes:u32 metadata_bytes:u32 vector metadata     kinds 1 to 3
             | kind:u8 doc_id:u64 owner:u64 vector_bytes:u32 metadata_bytes:u32 vector metadata     kinds 4 to 7
    kinds    = 1 and 4 PUT (vector and metadata), 2 and 5 DELETE (neither),
               3 and 6 METADATA (metadata only: the whole resulting map),
               7 MERGE (metadata only: the entries that are set, the document keeps its others)
               13 KEY (`vector` is a digest of 16 bytes, `metadata` an idempotency key, doc_id the answer)

vector is float32, little endian, as the client sent it; metadata is encoded by metadata_wire, reserved keys
included. All records of one frame take effect or none does. `encode_records` in writer.py writes this.

Kinds 4 to 6 are written once the database has tenants; owner is 0 for a document of no tenant, else the tenant's
number plus one. Kinds 1 to 3 are written while there are none. Earlier versions, though, wrote them for tenants'
documents too: there doc_id is "packed", the tenant's number in its upper half and the client's id in its lower. So a
tenant's document and one of no tenant could have the same packed id: they were twins, and writing one took the place
of the other. Reading such a record does what was done then.

A MERGE means something only for the document as it is at that position, so whoever reads the log applies it to what
the segments and the records before it make of the document: `metadata_after` is the one rule. Replay begins at the
position that the segments describe exactly, so it is always the same document. Earlier versions take the kind for
damage: the MANIFEST is of format 3 before the first is written (manifest.py). Programs from before wrote a merge as
METADATA, which stays readable.

A KEY says that the write of this frame was acknowledged under an idempotency key of its tenant; it is the last record
of the frame, whose position belongs to the answer. A write that changed nothing has a frame with its KEY alone.
The MANIFEST is of format 4 before the first is written.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from pykyro.model.limits import TENANT_INDEX_MAX
from pykyro.model.metadata_wire import decode_metadata, has_types
from pykyro.model.types import TENANT_INDEX_KEY, Key, Vector, key_doc_id, key_of, key_owner

HEAD: Final = struct.Struct("<BQII")
OWNED_HEAD: Final = struct.Struct("<BQQII")
COUNT: Final = struct.Struct("<I")
PUT: Final = 1
DELETE: Final = 2
METADATA: Final = 3
MERGE: Final = 7
"""It states the owner always, as no earlier version reads it anyway."""
KEY: Final = 13
"""It states the owner too, whose key it is."""
DIGEST_BYTES: Final = 16
OWNED: Final = 3
"""Added to a kind whose record states the owner."""
_KEY_KIND: Final = bytes((KEY,))
PACKED_SHIFT: Final = 32
PACKED_ID_BITS: Final = (1 << PACKED_SHIFT) - 1


@dataclass(slots=True, eq=False)
class PutRecord:
    """The document is stored, or replaced wholly. `wire` is `metadata` encoded, which every part of a write needs.

    `is_new` says that no document had the key before; it is not in the log, so what is read from there says False.
    """

    key: Key
    vector: Vector
    metadata: Mapping[str, str]
    wire: bytes
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class DeleteRecord:
    """The document is removed. One that is not `certain` may have been absent all along: see twins above."""

    key: Key
    certain: bool = True


@dataclass(slots=True, eq=False)
class MetadataRecord:
    """The document's metadata is replaced by this; `wire` is it encoded."""

    key: Key
    metadata: Mapping[str, str]
    wire: bytes


@dataclass(slots=True, eq=False)
class MergeRecord:
    """These entries of the document's metadata are set, the others stay; `wire` is `changes` encoded."""

    key: Key
    changes: Mapping[str, str]
    wire: bytes


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """The write was acknowledged under this idempotency key of this owner. `digest` is of all that was asked, and
    `existed` what was answered (see requests.Ack)."""

    owner: int
    key: bytes
    digest: bytes
    existed: int


Record: TypeAlias = PutRecord | DeleteRecord | MetadataRecord | MergeRecord


def metadata_after(record: MetadataRecord | MergeRecord, before: Mapping[str, str]) -> Mapping[str, str]:
    """The metadata of a document that had `before`."""
    return {**before, **record.changes} if isinstance(record, MergeRecord) else record.metadata


def decode_records(content: bytes, *, tenanted: bool, keys: list[KeyRecord] | None = None) -> list[Record]:
    """The records of one frame that are about documents; a KEY is appended to `keys`, if given. Raises ValueError
    when the bytes are not of that form.

    `tenanted` says whether the database has tenants now; without, no document has a twin.
    """
    if len(content) < COUNT.size:
        raise ValueError("no record count")
    (count,) = COUNT.unpack_from(content)
    position = COUNT.size
    records: list[Record] = []
    for _ in range(count):
        if content[position : position + 1] == _KEY_KIND:
            key, position = _decode_key(content, position)
            if keys is not None:
                keys.append(key)
            continue
        record, packed, position = _decode_record(content, position)
        records.append(record)
        if packed and tenanted and isinstance(record, (PutRecord, DeleteRecord)):
            twin = DeleteRecord(_twin(record.key), certain=False)
            if isinstance(record, DeleteRecord):
                records[-1] = DeleteRecord(record.key, certain=False)
            records.insert(len(records) - 1, twin)
    if position != len(content):
        raise ValueError("bytes after the last record")
    return records


def hold_types(records: Iterable[Record]) -> bool:
    """Whether the metadata of any record has values that are not text."""
    return any(not isinstance(record, DeleteRecord) and has_types(record.wire) for record in records)


def _decode_record(content: bytes, position: int) -> tuple[Record, bool, int]:
    """The record that begins at `position`, whether it is of a kind that packed ids, and where it ends."""
    owned = content[position : position + 1] > bytes((METADATA,))
    head = OWNED_HEAD if owned else HEAD
    if len(content) - position < head.size:
        raise ValueError("a record is cut short")
    fields = head.unpack_from(content, position)
    kind, doc_id, vector_bytes, metadata_bytes = fields[0], fields[1], fields[-2], fields[-1]
    vector_start = position + head.size
    metadata_start = vector_start + vector_bytes
    end = metadata_start + metadata_bytes
    if end > len(content):
        raise ValueError("a record is longer than its frame")
    wire = content[metadata_start:end]
    operation = kind - OWNED if METADATA < kind < MERGE else kind
    if operation == DELETE and not vector_bytes and not metadata_bytes:
        key = _owned_key(doc_id, fields[2]) if owned else doc_id
        return DeleteRecord(key), not owned, end
    if operation not in (PUT, METADATA, MERGE) or vector_bytes % 4 or (operation != PUT and vector_bytes):
        raise ValueError(
            f"record of kind {kind} with {vector_bytes} vector and {metadata_bytes} metadata bytes"
        )
    metadata = decode_metadata(wire)
    key = _owned_key(doc_id, fields[2]) if owned else _unpacked_key(doc_id, metadata)
    if operation == MERGE:
        return MergeRecord(key, metadata, wire), False, end
    if operation == METADATA:
        return MetadataRecord(key, metadata, wire), not owned, end
    vector = np.frombuffer(content, dtype="<f4", count=vector_bytes // 4, offset=vector_start)
    return PutRecord(key, vector, metadata, wire), not owned, end


def _decode_key(content: bytes, position: int) -> tuple[KeyRecord, int]:
    """The KEY that begins at `position`, and where it ends."""
    start = position + OWNED_HEAD.size
    if len(content) < start:
        raise ValueError("a record is cut short")
    _, existed, owner, digest_bytes, key_bytes = OWNED_HEAD.unpack_from(content, position)
    end = start + digest_bytes + key_bytes
    if digest_bytes != DIGEST_BYTES or not key_bytes or end > len(content) or owner > TENANT_INDEX_MAX + 1:
        raise ValueError(f"an idempotency key of {key_bytes} bytes with a digest of {digest_bytes}")
    at = start + DIGEST_BYTES
    return KeyRecord(owner, content[at:end], content[start:at], existed), end


def _owned_key(doc_id: int, owner: int) -> Key:
    if owner > TENANT_INDEX_MAX + 1:
        raise ValueError(f"owner {owner} of document {doc_id} is no tenant's")
    return key_of(owner - 1 if owner else None, doc_id)


def _unpacked_key(doc_id: int, metadata: Mapping[str, str]) -> Key:
    """The key of a document that was stored under a packed id, with this metadata. Raises ValueError."""
    tenant = named_tenant(metadata)
    return key_of(tenant, doc_id & PACKED_ID_BITS if doc_id >> PACKED_SHIFT == tenant else doc_id)


def named_tenant(metadata: Mapping[str, str]) -> int | None:
    """The tenant that the reserved metadata of a document names. Raises ValueError."""
    index = metadata.get(TENANT_INDEX_KEY)
    if index is None:
        return None
    if not (index.isascii() and index.isdecimal()) or len(index) > 10 or int(index) > TENANT_INDEX_MAX:
        raise ValueError(f"a document names a tenant {index!r:.20}, which is no tenant's number")
    return int(index)


def _twin(key: Key) -> Key:
    """The other document that had the same packed id."""
    owner, doc_id = key_owner(key), key_doc_id(key)
    if owner:
        return owner - 1 << PACKED_SHIFT | doc_id
    return key_of(doc_id >> PACKED_SHIFT, doc_id & PACKED_ID_BITS)
