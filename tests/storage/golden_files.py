"""Small files whose every byte is fixed, kept under golden/: the formats on disk as they were promised.

`python -m tests.storage.golden_files` writes them anew, which is right only when a format version changes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.crash.fault_filesystem import FaultFS

from pykyro.model.metadata_wire import encode_metadata
from pykyro.model.types import Metric, key_of
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import FileEntry, Manifest, SegmentEntry, WalEntry, encode_manifest
from pykyro.storage.segment.section_file import FileFacts, SectionWriter
from pykyro.storage.wal.format import OPERATION, PROBE, SegmentHeader
from pykyro.storage.wal.records import DeleteRecord, MergeRecord, MetadataRecord, PutRecord, Record
from pykyro.storage.wal.writer import PendingFrame, WalWriter, encode_records

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path("/")
HEADER = SegmentHeader(
    base_lsn=7, previous=0x01020304, created_us=1_700_000_000_000_000, salt=bytes(range(16))
)
TIME_US = HEADER.created_us + 1000


def _plain(records: list[Record]) -> bytes:
    return encode_records(records, tenanted=False)


def operations() -> list[bytes]:
    """Contents of frames: vectors with runs of zeros, long metadata, every kind of record."""
    zeros = np.zeros(160, dtype=np.float32)
    zeros[0] = 1.0
    mixed = np.array([1.5, -2.25, 0.0, 3e38], dtype=np.float32)
    return [
        _plain([PutRecord(1, zeros, {}, encode_metadata({"__namespace__": "n", "colour": "rot"}))]),
        _plain([PutRecord(2**64 - 1, mixed, {}, b"")]),
        _plain([MetadataRecord(1, {}, encode_metadata({"text": "0" * 300}))]),
        _plain([DeleteRecord(1), DeleteRecord(2)]),
    ]


def merges() -> list[bytes]:
    """Contents of frames with merges: into a document of no tenant, of one, and of nothing."""
    changes = {"colour": "blau", "text": "0" * 300}
    return [
        _plain([MergeRecord(1, changes, encode_metadata(changes)), DeleteRecord(2)]),
        encode_records(
            [MergeRecord(key_of(1, 2**64 - 1), {"a": ""}, encode_metadata({"a": ""}))], tenanted=True
        ),
        encode_records([MergeRecord(3, {}, b"")], tenanted=True),
    ]


def write_merges(filesystem: FileSystem) -> bytes:
    """A closed segment of these."""
    writer = WalWriter(filesystem, ROOT, 2, HEADER)
    writer.append([PendingFrame(OPERATION, content, TIME_US) for content in merges()])
    writer.seal(TIME_US + 1)
    writer.close()
    return filesystem.read(ROOT / writer.name)


def write_wal(filesystem: FileSystem, *, seal: bool) -> bytes:
    """A segment of two groups: the first two operations and a probe, then the others."""
    writer = WalWriter(filesystem, ROOT, 1, HEADER)
    first, second, third, fourth = (PendingFrame(OPERATION, content, TIME_US) for content in operations())
    writer.append([first, second, PendingFrame(PROBE, bytes(10), TIME_US)])
    writer.sync()
    writer.append([third, fourth])
    writer.sync()
    if seal:
        writer.seal(TIME_US + 1)
    writer.close()
    return filesystem.read(ROOT / writer.name)


def sections() -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    return {
        "ids": np.array([3, 1, 2**64 - 1], dtype=np.uint64),
        "vectors": np.arange(12, dtype=np.float32).reshape(3, 4),
        "nothing": np.empty((0, 4), dtype=np.float32),
        "text": np.frombuffer(b"abc", dtype=np.uint8),
    }


def write_sections(filesystem: FileSystem) -> tuple[bytes, FileFacts]:
    path = ROOT / "segment_000000000005.rows"
    writer = SectionWriter(filesystem, path)
    for name, array in sections().items():
        writer.add(name, array)
    facts = writer.finish({"rows": 3})
    return filesystem.read(path), facts


def manifest() -> Manifest:
    digest = "00112233445566778899aabbccddeeff"

    def file(name: str) -> FileEntry:
        return FileEntry(name=name, size_bytes=100, digest=digest)

    segment = SegmentEntry(
        number=5,
        row_count=3,
        rows=file("segment_000000000005.rows"),
        graph=file("segment_000000000005.graph"),
        dead=file("segment_000000000005_000000000009.dead"),
        dead_count=1,
    )
    closed = WalEntry(name="wal_000000000004.wal", base_lsn=1, last_lsn=6, end_offset=640)
    return Manifest(
        dimension=4,
        metric=Metric.COSINE,
        history="0123456789abcdef",
        next_number=10,
        sealed_lsn=6,
        segments=(segment,),
        wal=(closed, WalEntry(name="wal_000000000007.wal", base_lsn=7)),
        tenants={"acme": 1, "emca": 2},
        updated_us=HEADER.created_us,
    )


def files() -> dict[str, bytes]:
    return {
        "open.wal": write_wal(FaultFS(), seal=False),
        "sealed.wal": write_wal(FaultFS(), seal=True),
        "sections.rows": write_sections(FaultFS())[0],
        "merges.wal": write_merges(FaultFS()),
        "MANIFEST": encode_manifest(manifest()),
        "MANIFEST.merges": encode_manifest(manifest().announcing(merges=True)),
    }


def golden(name: str) -> bytes:
    return (GOLDEN / name).read_bytes()


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for file_name, content in files().items():
        (GOLDEN / file_name).write_bytes(content)
