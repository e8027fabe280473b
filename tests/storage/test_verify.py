"""A directory that verify accepts opens; one that would not open is refused, each fault on its own line."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.crash.fault_filesystem import FaultFS
from tests.storage.golden_files import write_sections
from tests.storage.opening import DATA, open_log, put

from pykyro.model.errors import DataDamaged
from pykyro.storage.files.checksum import digest
from pykyro.storage.manifest import FileEntry, SegmentEntry, write_manifest
from pykyro.storage.segment.reader import verify_graph
from pykyro.storage.segment.section_file import FileFacts
from pykyro.storage.verify import verify_directory

ROWS, GRAPH = "segment_000000000005.rows", "segment_000000000005.graph"


def directory() -> FaultFS:
    """Two closed log segments, an open one, a cold segment with a graph."""
    disk = FaultFS()
    opened = open_log(disk)
    for doc_id in (1, 2):
        opened.log.append([put(doc_id)])
        opened.log.rotate()
    opened.log.append([put(3)])
    content, facts = write_sections(disk)
    for name, data in ((ROWS, content), (GRAPH, b"graph" * 20)):
        file = disk.create(DATA / name)
        file.write(data)
        file.close()
    segment = SegmentEntry(
        number=5,
        row_count=3,
        rows=FileEntry(name=ROWS, size_bytes=facts.size_bytes, digest=facts.digest),
        graph=FileEntry(name=GRAPH, size_bytes=100, digest=digest(b"graph" * 20)),
        dead=None,
        dead_count=0,
    )
    manifest = opened.recovery.manifest.model_copy(update={"segments": (segment,)})
    write_manifest(disk, DATA, manifest)
    disk.kill_process()
    return disk


def files(disk: FaultFS) -> list[Path]:
    return [DATA / name for name in disk.names(DATA) if name not in ("LOCK", "MANIFEST", "snapshots")]


def test_whole_directory() -> None:
    disk = directory()
    report = verify_directory(disk, DATA)
    assert report.damage == []
    assert (report.files, report.last_lsn, report.torn_bytes) == (5, 5, 0)
    assert report.size_bytes == sum(disk.size(path) for path in files(disk))


@pytest.mark.parametrize("number", range(5))
def test_every_file_is_proved(number: int) -> None:
    disk = directory()
    path = files(disk)[number]
    disk.flip(path, 8 * 70)
    damage = verify_directory(disk, DATA).damage
    assert [line for line in damage if path.name in line] == damage[:1]
    disk.remove(path)
    assert path.name in verify_directory(disk, DATA).damage[0]


def test_every_fault_is_reported() -> None:
    disk = directory()
    for path in files(disk):
        disk.flip(path, 8 * 70)
    assert len(verify_directory(disk, DATA).damage) == 5


def test_missing_manifest_is_refused() -> None:
    disk = directory()
    disk.remove(DATA / "MANIFEST")
    with pytest.raises(DataDamaged, match="MANIFEST is missing"):
        verify_directory(disk, DATA)


def test_verify_changes_nothing() -> None:
    disk = directory()
    start = len(disk.calls)
    verify_directory(disk, DATA)
    assert {call.name for call in disk.calls[start:]} <= {"read", "map", "size", "names"}


@pytest.mark.parametrize("facts", [FileFacts(5, digest(b"grapf")), FileFacts(6, digest(b"graph"))])
def test_graph_is_proved_whole_before_a_library_sees_it(facts: FileFacts) -> None:
    disk = FaultFS()
    disk.create(Path("/g")).write(b"graph")
    verify_graph(disk, Path("/g"), FileFacts(5, digest(b"graph")))
    with pytest.raises(DataDamaged, match="graph does not match"):
        verify_graph(disk, Path("/g"), facts)
