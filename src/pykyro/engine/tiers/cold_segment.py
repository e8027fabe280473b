"""A cold segment: rows that never change, mapped from disk, and the bitmap of those that were deleted.

What its files hold stands in storage/segment/layout.py. The .graph file is the HNSW graph over codes of the rows, and
the .shape file says what they are codes of, see index/vector/shape.py. Small segments have neither and are scanned;
graphs of earlier versions have no .shape file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from pykyro.engine.tiers.segment_search import LiveRows, SegmentSearch
from pykyro.engine.tiers.stored_metadata import StoredMetadata
from pykyro.engine.tiers.tier import Candidates, TierRequest, count_owners
from pykyro.index.metadata.bitmaps import rows_of
from pykyro.index.metadata.metadata_index import FrozenMetadataIndex
from pykyro.index.vector.hnsw import Graph, graph_from_bytes, load_graph
from pykyro.index.vector.shape import Shape, old_shape, read_shape
from pykyro.model.errors import DataDamaged
from pykyro.model.filter import Filter
from pykyro.model.requests import Tier
from pykyro.model.types import Matrix, Metric, Rows, Vector
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import SegmentEntry
from pykyro.storage.segment.reader import SegmentRows, index_sections, open_segment_files
from pykyro.storage.segment.section_file import SectionFile


class ColdSegment(SegmentRows):
    """An open segment. `delete` edits the bitmap in place; everything else only reads."""

    kind = Tier.COLD

    def __init__(
        self,
        entry: SegmentEntry,
        file: SectionFile,
        graph: Graph | None,
        shape: Shape | None,
        metric: Metric,
        deleted: BitMap,
    ) -> None:
        self.checkpoint_deleted: BitMap = deleted.copy()
        """Rows deleted at the MANIFEST's sealed position; what a .dead file holds."""
        self._live = LiveRows(entry.row_count, deleted)
        super().__init__(file, entry.row_count, self._live.deleted)
        self.entry = entry
        self.graph = graph
        self.shape = shape
        try:
            self._index = FrozenMetadataIndex(index_sections(file), self.rows)
        except ValueError as error:
            raise DataDamaged(f"metadata index: {error}", path=file.path) from None
        if graph is not None and shape is None:
            shape = old_shape(metric, int(self.vectors.shape[1]), float(self.norms.max()))
        if graph is not None and shape is not None:
            points = self.rows if shape.equal is None else shape.equal.points
            if (graph.ntotal, graph.by_product) != (points, shape.coding.by_product):
                raise DataDamaged("graph and shape do not fit together", path=file.path)
        self._searches = SegmentSearch(
            entry.number, self.ids, self.vectors, self.norms, graph, shape, self._live
        )

    @property
    def live(self) -> int:
        return self._live.among(None)

    def search_many(self, request: TierRequest) -> list[Candidates]:
        matching = None if request.filter is None else self._index.match(request.filter)
        if matching is not None and len(matching) == self.rows:
            # As in a database of one tenant. Of all rows ever, not of the live ones: that number never changes.
            matching = None
        return self._searches.search_many(request, matching)

    def count(self, condition: Filter | None) -> int:
        return self._live.among(None if condition is None else self._index.match(condition))

    def vector(self, row: int) -> Vector:
        vector: Vector = self.vectors[row]
        return vector

    def metadata(self, row: int) -> StoredMetadata:
        return StoredMetadata(self.public_of(row), self.reserved_of(row))

    def public_metadata(self, rows: Sequence[int]) -> list[bytes]:
        offsets, public = self._public_offsets, self._public
        return [public[offsets[row] : offsets[row + 1]].tobytes() for row in rows]

    def columns_of(self, rows: Rows) -> tuple[npt.NDArray[np.uint64], Matrix, npt.NDArray[np.float64]]:
        """Copies of doc_ids, vectors and norms of these rows."""
        return self.ids[rows], np.asarray(self.vectors)[rows], self.norms[rows]

    def doc_ids_of(self, rows: Rows) -> npt.NDArray[np.uint64]:
        ids: npt.NDArray[np.uint64] = self.ids[rows]
        return ids

    def live_by_owner(self) -> dict[int, int]:
        return {} if self.keys.owners is None else count_owners(self.keys.owners[self._live_rows(None)])

    def delete(self, row: int) -> None:
        if row not in self.deleted:
            self._live.delete(row)

    def doc_ids_matching(self, condition: Filter | None) -> npt.NDArray[np.uint64]:
        return self.doc_ids_of(self._live_rows(condition))

    def _live_rows(self, condition: Filter | None) -> Rows:
        live = BitMap(range(self.rows)) if condition is None else BitMap(self._index.match(condition))
        live -= self.deleted
        return rows_of(live).astype(np.int64)


def open_segment(
    filesystem: FileSystem,
    directory: Path,
    entry: SegmentEntry,
    metric: Metric,
    *,
    verify: bool = True,
    mapped_graph: bool = True,
) -> ColdSegment:
    """Map a segment the MANIFEST names, every byte proved first. Raises DataDamaged, OSError.

    `verify=False` is for files this process has just written and synced. Without `mapped_graph` the graph is read
    into memory, for searches that last.
    """
    files = open_segment_files(filesystem, directory, entry, verify=verify)
    graph = None
    if files.graph is not None:
        graph = _load_graph(filesystem, files.graph, files.dimension, mapped=mapped_graph)
    shape = None if files.shape is None else _read_shape(files.shape, entry, metric)
    if shape is not None and len(shape.coding.centre) != files.dimension:
        raise DataDamaged("shape is of another dimension", path=files.rows.path)
    return ColdSegment(entry, files.rows, graph, shape, metric, files.deleted)


def _read_shape(file: SectionFile, entry: SegmentEntry, metric: Metric) -> Shape:
    try:
        shape = read_shape({name: file.section(name) for name in file.section_names}, file.attributes, metric)
        if shape.equal is not None and len(shape.equal.point_of) != entry.row_count:
            raise ValueError(f"lists {len(shape.equal.point_of)} of {entry.row_count} rows")
    except ValueError as error:
        raise DataDamaged(f"shape: {error}", path=file.path) from None
    return shape


def _load_graph(filesystem: FileSystem, path: Path, dimension: int, *, mapped: bool) -> Graph:
    try:
        native = filesystem.native_path(path)
        if native is not None:
            return load_graph(native, dimension=dimension, mapped=mapped)
        data = np.frombuffer(filesystem.map(path), dtype=np.uint8)
        return graph_from_bytes(data, dimension=dimension)
    except ValueError as error:
        raise DataDamaged(f"graph: {error}", path=path) from None
