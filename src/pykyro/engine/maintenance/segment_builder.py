"""Building the files of a cold segment: from the hot tier's rows, or from older segments.

Runs in the engine's process (tests, small segments) or in one of its own (build_worker.py); it reads and writes
through the same file system seam and knows nothing of either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pykyro.engine.tiers.cold_segment import ColdSegment
from pykyro.engine.tiers.hot_tier import HotTier
from pykyro.engine.tiers.open_segment import open_segment
from pykyro.index.metadata.merge_sections import GONE, MergePart, merge_sections, stream_sections
from pykyro.index.vector.graph_build import GraphParameters
from pykyro.index.vector.hnsw import Graph
from pykyro.index.vector.shape import Shape
from pykyro.index.vector.shaping import RowsToShape, extend_shape, shape_rows
from pykyro.index.words.word_sections import WordsPart, merge_words, words_of_tier
from pykyro.model.limits import GRAPH_ROWS_MIN
from pykyro.model.types import LSN, Rows
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import FileEntry, SegmentEntry
from pykyro.storage.segment.blobs import blobs_of, one_after_another
from pykyro.storage.segment.reader import index_sections
from pykyro.storage.segment.section_spool import SectionSpool
from pykyro.storage.segment.writer import RowsToWrite, write_graph, write_rows, write_shape

_CHUNK_BYTES: Final = 4 << 20
"""Of vectors that are copied at once."""
_PIECE_BYTES: Final = 1 << 20
"""Of each section of the metadata index, while one is made from others."""


@dataclass(frozen=True, slots=True)
class MergeInput:
    """A segment to merge and those of its rows that stay behind, ascending."""

    entry: SegmentEntry
    dropped: npt.NDArray[np.uint32]
    covers: LSN = 0
    """As for SegmentRows: what was told of the rows of an earlier version stays as it was told."""

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


def rows_of_tier(
    tier: HotTier, rows: Rows, dimension: int, memory_bytes: int, go_on: Callable[[], None]
) -> RowsToWrite:
    """These rows of a hot tier, ascending, to be written in about so much memory beside the tier's own.

    The index of a tier with a million keys takes many seconds: `go_on` is called all the while, and raises to end it.
    """

    def index(spool: SectionSpool) -> None:
        def metadata() -> Iterator[Mapping[str, str]]:
            for row in rows.tolist():
                go_on()
                yield tier.metadata(row).whole()

        def append(name: str, piece: npt.NDArray[Any]) -> None:
            go_on()
            spool.append(name, piece)

        stream_sections(metadata(), len(rows), append, spool.store, memory_bytes)

    def words(spool: SectionSpool) -> None:
        def append(name: str, piece: npt.NDArray[Any]) -> None:
            go_on()
            spool.append(name, piece)

        assert tier.words is not None
        words_of_tier(tier.words.index, rows, append)

    stored = [tier.metadata(row) for row in rows.tolist()]
    return RowsToWrite(
        tier.doc_ids_of(rows),
        tier.owners_of(rows),
        tier.norms_of(rows),
        tier.positions_of(rows),
        blobs_of((len(one.public) for one in stored), len(rows), (one.public for one in stored)),
        blobs_of((len(one.reserved) for one in stored), len(rows), (one.reserved for one in stored)),
        index,
        (tier.vectors_of(some) for some in _chunks(rows, dimension)),
        dimension,
        None if tier.words is None else words,
    )


def _rows_of_segments(segments: Sequence[ColdSegment], kept: Sequence[Rows]) -> RowsToWrite:
    """These rows of each segment, to be written piece by piece."""
    parts = list(zip(segments, kept, strict=True))
    count, dimension = sum(map(len, kept)), int(segments[0].vectors.shape[1])

    def index(spool: SectionSpool) -> None:
        merging = [MergePart(index_sections(segment.file), new) for segment, new in _new_rows(parts)]
        merge_sections(merging, count, spool.append, _PIECE_BYTES)

    def words(spool: SectionSpool) -> None:
        merging = []
        for segment, new_rows in _new_rows(parts):
            assert segment.words is not None
            merging.append(WordsPart(segment.words, new_rows))
        merge_words(merging, spool.append)

    return RowsToWrite(
        np.concatenate([segment.doc_ids_of(rows) for segment, rows in parts]),
        np.concatenate([segment.owners_of(rows) for segment, rows in parts]),
        np.concatenate([segment.norms[rows] for segment, rows in parts]),
        np.concatenate([segment.positions_of(rows) for segment, rows in parts]),
        one_after_another([segment.public_blobs(rows) for segment, rows in parts]),
        one_after_another([segment.reserved_blobs(rows) for segment, rows in parts]),
        index,
        (segment.vectors[some] for segment, rows in parts for some in _chunks(rows, dimension)),
        dimension,
        None if segments[0].words is None else words,
    )


def _new_rows(
    parts: Sequence[tuple[ColdSegment, Rows]],
) -> Iterator[tuple[ColdSegment, npt.NDArray[np.uint32]]]:
    """Of each segment, the number that each of its rows has in the merged one, or GONE."""
    done = 0
    for segment, rows in parts:
        new_rows = np.full(segment.rows, GONE, np.uint32)
        new_rows[rows] = np.arange(done, done + len(rows), dtype=np.uint32)
        yield segment, new_rows
        done += len(rows)


def _chunks(rows: Rows, dimension: int) -> Iterator[Rows]:
    """The rows, as many at once as may be copied."""
    at_once = max(1, _CHUNK_BYTES // (4 * dimension))
    for start in range(0, len(rows), at_once):
        yield rows[start : start + at_once]


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
    entry = without_graph(number, rows, row_count)
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


def without_graph(number: int, rows: FileEntry, row_count: int) -> SegmentEntry:
    """The segment of a .rows file as it is: each search looks at all of its rows."""
    return SegmentEntry(number=number, row_count=row_count, rows=rows, graph=None, dead=None, dead_count=0)


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
    segments = [
        open_segment(filesystem, directory, i.entry, parameters.metric, covers=i.covers) for i in job.inputs
    ]
    contents = _rows_of_segments(segments, [i.kept_rows() for i in job.inputs])
    count = len(contents.doc_ids)
    rows_file = write_rows(filesystem, directory, job.number, contents)
    base = job.inputs[0] if job.extends_first else None
    entry = build_segment(filesystem, directory, job.number, rows_file, count, parameters, threads, base)
    filesystem.sync_directory(directory)
    return entry
