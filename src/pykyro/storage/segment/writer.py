"""Everything that writes the files of a segment. What stands in them: layout.py; what a section file is:
section_file.py.

Each file is written under a temporary name, synced, and renamed; the directory is the caller's to sync.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pykyro.model.types import BytesLike, Matrix
from pykyro.storage import filename
from pykyro.storage.files.checksum import digest
from pykyro.storage.files.filesystem import FileSystem, write_all
from pykyro.storage.manifest import FileEntry
from pykyro.storage.segment import layout
from pykyro.storage.segment.blobs import Blobs
from pykyro.storage.segment.section_file import AnyArray, SectionWriter
from pykyro.storage.segment.section_spool import SectionSpool


@dataclass(frozen=True, slots=True)
class RowsToWrite:
    """Rows to put into a segment, in order. `chunks` gives the vectors piece by piece; `public` and `reserved` is the
    metadata of each row, in the form of metadata_wire, and `index` puts the sections of the index of both into a
    spool. So does `words` with those of the words, where there are any."""

    doc_ids: npt.NDArray[np.uint64]
    owners: npt.NDArray[np.uint64]
    norms: npt.NDArray[np.float64]
    positions: npt.NDArray[np.uint64]
    public: Blobs
    reserved: Blobs
    index: Callable[[SectionSpool], None]
    chunks: Iterable[Matrix]
    dimension: int
    words: Callable[[SectionSpool], None] | None = None


def write_rows(filesystem: FileSystem, directory: Path, number: int, contents: RowsToWrite) -> FileEntry:
    """Write the .rows file of segment `number`. Raises OSError."""
    path = directory / filename.segment_rows(number)
    writer, count = SectionWriter(filesystem, path), len(contents.doc_ids)
    try:
        write_row_keys(writer, contents.doc_ids, contents.owners)
        shape = (count, contents.dimension)
        writer.add_chunks(layout.VECTORS, contents.chunks, shape=shape, dtype=np.float32)
        writer.add(layout.NORMS, contents.norms)
        writer.add(layout.POSITIONS, contents.positions)
        _add_blobs(writer, layout.PUBLIC, layout.PUBLIC_OFFSETS, contents.public)
        _add_blobs(writer, layout.RESERVED, layout.RESERVED_OFFSETS, contents.reserved)
        with SectionSpool(filesystem, directory, number) as spool:
            contents.index(spool)
            spool.copy_to(writer, layout.INDEX_PREFIX)
        if contents.words is not None:
            with SectionSpool(filesystem, directory, number) as spool:
                contents.words(spool)
                spool.copy_to(writer, layout.WORDS_PREFIX)
        return _finished(writer, path, {"rows": count})
    except BaseException:
        writer.abandon()
        raise


def write_row_keys(
    writer: SectionWriter, ids: npt.NDArray[np.uint64], owners: npt.NDArray[np.uint64]
) -> None:
    """Add the sections that say which document each row is; RowKeys reads them."""
    tenanted = bool(owners.any())
    order = np.lexsort((owners, ids)) if tenanted else np.argsort(ids, kind="stable")
    writer.add(layout.IDS, ids)
    writer.add(layout.SORTED_IDS, ids[order])
    writer.add(layout.SORTED_ROWS, order.astype(np.uint32))
    if tenanted:
        writer.add(layout.OWNERS, owners)


def write_graph(filesystem: FileSystem, directory: Path, number: int, data: BytesLike) -> FileEntry:
    """Write the .graph file of segment `number`. Raises OSError."""
    path = directory / filename.segment_graph(number)
    temporary = path.with_name(filename.temporary(path.name))
    file = filesystem.create(temporary)
    try:
        write_all(file, data)
        file.sync(data_only=False)
    finally:
        file.close()
    filesystem.replace(temporary, path)
    return FileEntry(name=path.name, size_bytes=len(data), digest=digest(data))


def write_shape(
    filesystem: FileSystem,
    directory: Path,
    number: int,
    sections: Mapping[str, AnyArray],
    attributes: Mapping[str, Any],
) -> FileEntry:
    """Write the .shape file of segment `number`. Raises OSError."""
    path = directory / filename.segment_shape(number)
    return _write_sections(filesystem, path, sections, attributes)


def write_deleted_rows(
    filesystem: FileSystem, directory: Path, number: int, version: int, rows: Sequence[int]
) -> FileEntry:
    """Write the .dead file of segment `number`: its rows deleted up to a checkpoint, ascending; `version` is a file
    number of its own. Raises OSError."""
    path = directory / filename.segment_dead(number, version)
    sections = {layout.DELETED_ROWS: np.array(rows, dtype=np.uint32)}
    return _write_sections(filesystem, path, sections, {"rows": len(rows)})


def _write_sections(
    filesystem: FileSystem, path: Path, sections: Mapping[str, AnyArray], attributes: Mapping[str, Any]
) -> FileEntry:
    writer = SectionWriter(filesystem, path)
    try:
        for name, array in sections.items():
            writer.add(name, array)
        return _finished(writer, path, attributes)
    except BaseException:
        writer.abandon()
        raise


def _finished(writer: SectionWriter, path: Path, attributes: Mapping[str, Any]) -> FileEntry:
    facts = writer.finish(attributes)
    return FileEntry(name=path.name, size_bytes=facts.size_bytes, digest=facts.digest)


def _add_blobs(writer: SectionWriter, name: str, offsets_name: str, blobs: Blobs) -> None:
    offsets = np.zeros(len(blobs.lengths) + 1, dtype=np.uint64)
    np.cumsum(blobs.lengths, out=offsets[1:])
    writer.add(offsets_name, offsets)
    writer.add_chunks(name, blobs.pieces, shape=(int(offsets[-1]),), dtype=np.uint8)
