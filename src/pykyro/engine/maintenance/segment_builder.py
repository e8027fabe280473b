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

from pykyro.engine.tiers.cold_segment import ColdSegment
from pykyro.engine.tiers.open_segment import open_segment
from pykyro.engine.tiers.stored_metadata import StoredMetadata
from pykyro.index.metadata.metadata_index import build_sections
from pykyro.index.vector.graph_build import GraphParameters
from pykyro.index.vector.hnsw import Graph
from pykyro.index.vector.shape import Shape
from pykyro.index.vector.shaping import RowsToShape, extend_shape, shape_rows
from pykyro.model.limits import GRAPH_ROWS_MIN
from pykyro.model.types import Matrix, Rows
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import FileEntry, SegmentEntry
from pykyro.storage.segment.writer import RowsToWrite, write_graph, write_rows, write_shape

_CHUNK_ROWS: Final = 8192


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

    With `extends_first` the first input keeps every row, deleted ones too, and its graph is grown instead of built
    again: adding n rows to a graph costs n insertions, whatever its size.
    """

    number: int
    inputs: tuple[MergeInput, ...]
    extends_first: bool


def rows_to_write(
    doc_ids: npt.NDArray[np.uint64],
    owners: npt.NDArray[np.uint64],
    norms: npt.NDArray[np.float64],
    metadata: Sequence[StoredMetadata],
    chunks: Iterable[Matrix],
    dimension: int,
) -> RowsToWrite:
    """What is to stand in a segment, its metadata indexed."""
    return RowsToWrite(
        doc_ids,
        owners,
        norms,
        [entry.public for entry in metadata],
        [entry.reserved for entry in metadata],
        build_sections((entry.whole() for entry in metadata), len(doc_ids)),
        chunks,
        dimension,
    )


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
    stored = RowsToShape(segment.vectors, segment.norms, segment.ids)
    built = None
    if base is not None:
        built = _extended(filesystem, directory, base.entry, stored, parameters, threads)
    graph, shape = built or shape_rows(stored, parameters, threads)
    return entry.model_copy(
        update={
            "graph": write_graph(filesystem, directory, number, graph.to_bytes().data),
            "shape": write_shape(filesystem, directory, number, shape.sections, shape.attributes),
        }
    )


def _extended(
    filesystem: FileSystem,
    directory: Path,
    base: SegmentEntry,
    rows: RowsToShape,
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
    contents = rows_to_write(
        doc_ids=np.concatenate([s.doc_ids_of(rows) for s, rows in parts]),
        owners=np.concatenate([s.owners_of(rows) for s, rows in parts]),
        norms=np.concatenate([s.norms[rows] for s, rows in parts]),
        metadata=[s.metadata(int(row)) for s, rows in parts for row in rows],
        chunks=_vector_chunks(parts),
        dimension=int(segments[0].vectors.shape[1]),
    )
    count = len(contents.doc_ids)
    rows_file = write_rows(filesystem, directory, job.number, contents)
    base = job.inputs[0] if job.extends_first else None
    entry = build_segment(filesystem, directory, job.number, rows_file, count, parameters, threads, base)
    filesystem.sync_directory(directory)
    return entry


def _vector_chunks(parts: Sequence[tuple[ColdSegment, Rows]]) -> Iterator[Matrix]:
    for segment, rows in parts:
        for start in range(0, len(rows), _CHUNK_ROWS):
            yield segment.vectors[rows[start : start + _CHUNK_ROWS]]
