"""The idempotency keys of acknowledged writes whose part of the log is sealed: a section file that MANIFEST names.

.keys    positions           u64   the position of each acknowledgement, ascending
         owners              u64   whose key it is (types.Key)
         existed             u64   the answer, see requests.Ack
         digests             u8    shape (keys, 16), of what was asked
         key_offsets         u64   keys + 1: where each key starts in `text`
         text                u8

It holds the keys as they were at the sealed position; the log has those after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from pykyro.model.errors import DataDamaged
from pykyro.model.types import LSN
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import FileEntry
from pykyro.storage.segment.section_file import SectionWriter, open_section_file
from pykyro.storage.wal.records import DIGEST_BYTES, KeyRecord

_POSITIONS: Final = "positions"
_OWNERS: Final = "owners"
_EXISTED: Final = "existed"
_DIGESTS: Final = "digests"
_OFFSETS: Final = "key_offsets"
_TEXT: Final = "text"


class Acknowledged(NamedTuple):
    """A key, and the position of the write that was acknowledged under it."""

    position: LSN
    record: KeyRecord


def write_request_keys(
    filesystem: FileSystem, directory: Path, number: int, keys: Sequence[Acknowledged]
) -> FileEntry:
    """Write the file of this number, of one key at least. The directory is the caller's to sync. Raises OSError."""
    path = directory / filename.request_keys(number)
    records = [record for _, record in keys]
    offsets = np.zeros(len(keys) + 1, np.uint64)
    np.cumsum([len(record.key) for record in records], out=offsets[1:])
    digests = np.frombuffer(b"".join(record.digest for record in records), np.uint8)
    writer = SectionWriter(filesystem, path)
    try:
        writer.add(_POSITIONS, np.array([position for position, _ in keys], np.uint64))
        writer.add(_OWNERS, np.array([record.owner for record in records], np.uint64))
        writer.add(_EXISTED, np.array([record.existed for record in records], np.uint64))
        writer.add(_DIGESTS, digests.reshape(len(keys), DIGEST_BYTES))
        writer.add(_OFFSETS, offsets)
        writer.add(_TEXT, np.frombuffer(b"".join(record.key for record in records), np.uint8))
        facts = writer.finish({"keys": len(keys)})
    except BaseException:
        writer.abandon()
        raise
    return FileEntry(name=path.name, size_bytes=facts.size_bytes, digest=facts.digest)


def read_request_keys(filesystem: FileSystem, directory: Path, entry: FileEntry) -> list[Acknowledged]:
    """The keys of a file, every byte proved. Raises DataDamaged, OSError."""
    file = open_section_file(filesystem, directory / entry.name, entry.facts)
    offsets, text = file.section(_OFFSETS).tolist(), file.section(_TEXT).tobytes()
    digests = [digest.tobytes() for digest in file.section(_DIGESTS)]
    columns = [file.section(name).tolist() for name in (_POSITIONS, _OWNERS, _EXISTED)]
    if len({*map(len, columns), len(digests), len(offsets) - 1}) > 1 or offsets[-1] != len(text):
        raise DataDamaged("sections have different numbers of keys", path=file.path)
    return [
        Acknowledged(position, KeyRecord(owner, text[offsets[at] : offsets[at + 1]], digests[at], existed))
        for at, (position, owner, existed) in enumerate(zip(*columns, strict=True))
    ]
