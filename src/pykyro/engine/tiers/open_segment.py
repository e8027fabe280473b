"""Opening a cold segment: its files mapped and proved, its graph read or mapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pykyro.engine.memory import EngineMemory
from pykyro.engine.tiers.cold_segment import ColdSegment
from pykyro.index.vector.hnsw import Graph, graph_from_bytes, load_graph
from pykyro.index.vector.shape import Shape, read_shape
from pykyro.model.errors import DataDamaged
from pykyro.model.types import LSN, Metric
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import SegmentEntry
from pykyro.storage.segment.reader import open_segment_files
from pykyro.storage.segment.section_file import SectionFile


def open_segment(
    filesystem: FileSystem,
    directory: Path,
    entry: SegmentEntry,
    metric: Metric,
    *,
    verify: bool = True,
    memory: EngineMemory | None = None,
    covers: LSN = 0,
) -> ColdSegment:
    """Map a segment the MANIFEST names, every byte proved first. Raises DataDamaged, OSError.

    `verify=False` is for files this process has just written and synced. With `memory`
    what the segment holds is charged, and the graph is read into memory if there is room, for searches that last.
    `covers` as for SegmentRows.
    """
    files = open_segment_files(filesystem, directory, entry, verify=verify)
    graph, graph_bytes = None, 0
    if files.graph is not None and entry.graph is not None:
        if memory is not None and memory.holds_graph(entry.graph.size_bytes):
            graph_bytes = entry.graph.size_bytes
        graph = _load_graph(filesystem, files.graph, files.dimension, mapped=not graph_bytes)
    shape = None if files.shape is None else _read_shape(files.shape, entry, metric)
    if shape is not None and len(shape.coding.centre) != files.dimension:
        raise DataDamaged("shape is of another dimension", path=files.rows.path)
    return ColdSegment(entry, files.rows, graph, shape, metric, files.deleted, memory, graph_bytes, covers)


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
