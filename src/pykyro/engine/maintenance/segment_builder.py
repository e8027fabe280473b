"""Building the files of a cold segment: from the hot tier's rows, or from older segments.

Runs in the engine's process (tests, small segments) or in one of its own (build_worker.py); it reads and writes
through the same file system seam and knows nothing of either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from pykyro.engine.tiers.cold_segment import INDEX_PREFIX, ColdSegment, open_segment
from pykyro.engine.tiers.stored_metadata import StoredMetadata
from pykyro.index.metadata.metadata_index import build_sections
from pykyro.index.vector.graph_build import GraphParameters
from pykyro.index.vector.hnsw import Graph
from pykyro.index.vector.shape import Shape
from pykyro.index.vector.shaping import SegmentRows, extend_shape, shape_rows
from pykyro.model.limits import GRAPH_ROWS_MIN
from pykyro.model.types import BytesLike, Matrix, Rows
from pykyro.storage import filename
from pykyro.storage.files.checksum import digest
from pykyro.storage.files.filesystem import FileSystem, write_all
from pykyro.storage.manifest import FileEntry, SegmentEntry
from pykyro.storage.segment.row_keys import write_row_keys
from pykyro.storage.segment.section_file import FileFacts, SectionWriter

_CHUNK_ROWS: Final = 8192


@dataclass(frozen=True, slots=True)
class RowSource:
    """Rows to put into a segment, in order. `chunks` gives the vectors piece by piece."""

    doc_ids: npt.NDArray[np.uint64]
    owners: npt.NDArray[np.uint64]
    norms: npt.NDArray[np.float64]
    metadata: Sequence[StoredMetadata]
    chunks: Iterable[Matrix]
    dimension: int


@dataclass(frozen=True, slots=True)
class MergeInput:
    """A segment to merge and those of its rows that stay behind, ascending."""

    entry: SegmentEntry
    dropped: npt.NDArray[np.uint32]

    def kept_rows(self) -> Rows:
        kept = np.ones(self.entry.row_count, dtype=np.bool_)
        kept[self.dropped] = False
        return np.flatnonzero(kept)


@dataclass(frozen=True, slots=True)
class MergeJob:
    """Rows of all inputs, in their order, become segment `number`.

    With `extends_first` the first input keeps every row, dead ones too, and its graph is grown instead of built
    again: adding n rows to a graph costs n insertions, whatever its size.
    """

    number: int
    inputs: tuple[MergeInput, ...]
    extends_first: bool


def write_rows(filesystem: FileSystem, directory: Path, number: int, source: RowSource) -> FileEntry:
    """Write the .rows file of segment `number`. Raises OSError; the directory is the caller's to sync."""
    path = directory / filename.segment_rows(number)
    writer = SectionWriter(filesystem, path)
    try:
        count = len(source.doc_ids)
        write_row_keys(writer, source.doc_ids, source.owners)
        writer.add_chunks("vectors", source.chunks, shape=(count, source.dimension), dtype=np.float32)
        writer.add("norms", source.norms)
        _add_blobs(writer, "public", [entry.public for entry in source.metadata])
        _add_blobs(writer, "reserved", [entry.reserved for entry in source.metadata])
        for name, array in build_sections((entry.whole() for entry in source.metadata), count).items():
            writer.add(INDEX_PREFIX + name, array)
        facts = writer.finish({"rows": count})
    except BaseException:
        writer.abandon()
        raise
    return FileEntry(name=path.name, size_bytes=facts.size_bytes, digest=facts.digest)


def build_segment(
    filesystem: FileSystem,
    directory: Path,
    number: int,
    rows: FileEntry,
    row_count: int,
    parameters: GraphParameters,
    threads: int,
    base: MergeInput | None = None,
) -> SegmentEntry:
    """The segment of a .rows file already written, its graph built unless it is too small for one.

    The graph is grown from that of `base`, whose rows are the first, if there is one that serves the others.
    """
    entry = SegmentEntry(number=number, row_count=row_count, rows=rows, graph=None, dead=None, dead_count=0)
    if row_count < GRAPH_ROWS_MIN:
        return entry
    segment = open_segment(filesystem, directory, entry, parameters.metric, verify=False)
    stored = SegmentRows(segment.vectors, segment.norms, segment.ids)
    built = None
    if base is not None:
        built = _extended(filesystem, directory, base.entry, stored, parameters, threads)
    graph, shape = built or shape_rows(stored, parameters, threads)
    return entry.model_copy(
        update={
            "graph": write_graph(filesystem, directory, number, graph),
            "shape": _write_shape(filesystem, directory, number, shape),
        }
    )


def _extended(
    filesystem: FileSystem,
    directory: Path,
    base: SegmentEntry,
    rows: SegmentRows,
    parameters: GraphParameters,
    threads: int,
) -> tuple[Graph, Shape] | None:
    segment = open_segment(filesystem, directory, base, parameters.metric, verify=False)
    if segment.shape is None or base.graph is None:
        return None
    stored = np.frombuffer(filesystem.map(directory / base.graph.name), dtype=np.uint8)
    return extend_shape(stored, segment.shape, rows, base.row_count, threads)


def merge_segments(
    filesystem: FileSystem, directory: Path, job: MergeJob, parameters: GraphParameters, threads: int
) -> SegmentEntry:
    """Write the files of the merged segment. Raises DataDamaged, OSError."""
    # Proved again: bytes that rotted since the start would get a digest that vouches for them.
    segments = [open_segment(filesystem, directory, i.entry, parameters.metric) for i in job.inputs]
    kept = [i.kept_rows() for i in job.inputs]
    parts = list(zip(segments, kept, strict=True))
    source = RowSource(
        doc_ids=np.concatenate([s.doc_ids_of(rows) for s, rows in parts]),
        owners=np.concatenate([s.owners_of(rows) for s, rows in parts]),
        norms=np.concatenate([s.norms[rows] for s, rows in parts]),
        metadata=[s.metadata(int(row)) for s, rows in parts for row in rows],
        chunks=_vector_chunks(parts),
        dimension=int(segments[0].vectors.shape[1]),
    )
    count = len(source.doc_ids)
    rows_file = write_rows(filesystem, directory, job.number, source)
    base = job.inputs[0] if job.extends_first else None
    entry = build_segment(filesystem, directory, job.number, rows_file, count, parameters, threads, base)
    filesystem.sync_directory(directory)
    return entry


def write_graph(filesystem: FileSystem, directory: Path, number: int, graph: Graph) -> FileEntry:
    """Write and sync a .graph file."""
    name = filename.segment_graph(number)
    facts = _write_whole(filesystem, directory / name, graph.to_bytes().data)
    return FileEntry(name=name, size_bytes=facts.size_bytes, digest=facts.digest)


def _write_shape(filesystem: FileSystem, directory: Path, number: int, shape: Shape) -> FileEntry:
    path = directory / filename.segment_shape(number)
    writer = SectionWriter(filesystem, path)
    try:
        for name, array in shape.sections.items():
            writer.add(name, array)
        facts = writer.finish(shape.attributes)
    except BaseException:
        writer.abandon()
        raise
    return FileEntry(name=path.name, size_bytes=facts.size_bytes, digest=facts.digest)


def _write_whole(filesystem: FileSystem, path: Path, data: BytesLike) -> FileFacts:
    temporary = path.with_name(filename.temporary(path.name))
    file = filesystem.create(temporary)
    try:
        write_all(file, data)
        file.sync(data_only=False)
    finally:
        file.close()
    filesystem.replace(temporary, path)
    return FileFacts(len(data), digest(data))


def _add_blobs(writer: SectionWriter, name: str, blobs: Sequence[bytes]) -> None:
    offsets = np.zeros(len(blobs) + 1, dtype=np.uint64)
    np.cumsum([len(blob) for blob in blobs], out=offsets[1:])
    writer.add(f"{name}_offsets", offsets)
    writer.add(name, np.frombuffer(b"".join(blobs), dtype=np.uint8))


def _vector_chunks(parts: Sequence[tuple[ColdSegment, Rows]]) -> Iterator[Matrix]:
    for segment, rows in parts:
        for start in range(0, len(rows), _CHUNK_ROWS):
            yield segment.vectors[rows[start : start + _CHUNK_ROWS]]
