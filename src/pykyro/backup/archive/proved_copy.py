"""Reading a file of the database once, proving it on the way: what is damaged must not get into a backup."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pykyro.backup.target.target import CHUNK_BYTES
from pykyro.model.errors import DataDamaged
from pykyro.storage.files.checksum import Digest
from pykyro.storage.manifest import FileEntry
from pykyro.storage.segment.section_file import Extent, read_section_file


def proved_chunks(path: Path, content: memoryview, entry: FileEntry) -> Iterator[memoryview]:
    """All of `content` in pieces. Raises DataDamaged once something does not match its digest; then the pieces
    given out so far must not be used."""
    at = 0
    for extent in _extents(path, content, entry):
        if extent.start < at:
            raise DataDamaged(f"{extent.name} overlaps the part before it", path=path, offset=extent.start)
        yield from _pieces(content, at, extent.start)
        found = Digest()
        for piece in _pieces(content, extent.start, extent.end):
            found.update(piece)
            yield piece
        if found.text() != extent.digest:
            raise DataDamaged(
                f"{extent.name} does not match its digest",
                path=path,
                offset=extent.start,
                hint="Keep the backups you have, and restore the newest that verifies",
            )
        at = extent.end
    yield from _pieces(content, at, len(content))


def _extents(path: Path, content: memoryview, entry: FileEntry) -> list[Extent]:
    if path.suffix != ".graph":
        return read_section_file(content, path, entry.facts).extents
    if len(content) != entry.size_bytes:
        raise DataDamaged(f"file has {len(content)} bytes, expected {entry.size_bytes}", path=path)
    return [Extent("graph", 0, entry.size_bytes, entry.digest)]


def _pieces(content: memoryview, start: int, end: int) -> Iterator[memoryview]:
    for at in range(start, end, CHUNK_BYTES):
        yield content[at : min(at + CHUNK_BYTES, end)]
