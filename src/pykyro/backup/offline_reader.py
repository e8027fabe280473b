"""The documents of a data directory, put together from its files without the engine that would serve them.

Segments are read by storage/segment/reader.py, as the engine reads them; the log after them replaces, changes or
removes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from pykyro.model.distance import Query
from pykyro.model.errors import DataDamaged
from pykyro.model.metadata_wire import decode_metadata
from pykyro.model.types import Document, Key, Matrix, Vector, key_doc_id, key_owner, tenant_of
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import Manifest, SegmentEntry, read_manifest, require_local
from pykyro.storage.segment.reader import SegmentRows, read_segment_rows
from pykyro.storage.segment.row_keys import DocIds
from pykyro.storage.wal.chain import WalChain
from pykyro.storage.wal.records import DeleteRecord, PutRecord, Record, metadata_after
from pykyro.storage.wal.retention import is_sealed

_CHUNK_ROWS: Final = 8192


class OfflineReader:
    """The state of a directory that no server is changing. Raises DataDamaged, OSError, like all that reads it."""

    def __init__(self, filesystem: FileSystem, directory: Path) -> None:
        self._filesystem = filesystem
        self._directory = directory
        self.manifest: Manifest = read_manifest(filesystem, directory)
        require_local(self.manifest, directory, "reading the documents")
        self._segments = [self._open(entry) for entry in self.manifest.segments]
        self._later: dict[Key, Document] = {}
        self._replay()

    @property
    def count(self) -> int:
        """Live documents."""
        return sum(segment.rows - len(segment.deleted) for segment in self._segments) + len(self._later)

    def documents(self) -> Iterator[Document]:
        """Every live document, those of the log last."""
        for segment in self._segments:
            for row in segment.live_rows():
                yield _document_at(segment, int(row))
        yield from self._later.values()

    def some(self, count: int) -> list[Document]:
        """Up to `count` live documents, spread over the segments and the log."""
        found = []
        for segment in self._segments:
            rows = segment.live_rows()
            found += [_document_at(segment, int(row)) for row in rows[:: max(1, len(rows) // count)][:count]]
        found += list(self._later.values())[:count]
        return found[:: max(1, len(found) // count)][:count]

    def nearest(self, vector: Vector) -> tuple[int, float]:
        """The document most similar to `vector`, the smallest id of equals, and its similarity; every one is
        looked at. There must be a document."""
        query = Query(vector, self.manifest.metric)
        best: tuple[float, int] | None = None
        for ids, rows in self._chunks():
            values = query.similarities(rows)
            top = float(values.max())
            found = (-top, int(ids[values == top].min()))
            best = found if best is None else min(best, found)
        assert best is not None
        return best[1], -best[0]

    def _chunks(self) -> Iterator[tuple[DocIds, Matrix]]:
        for segment in self._segments:
            rows = segment.live_rows()
            for start in range(0, len(rows), _CHUNK_ROWS):
                part = rows[start : start + _CHUNK_ROWS]
                yield segment.ids[part], segment.vectors[part]
        if self._later:
            ids = np.fromiter(map(key_doc_id, self._later), dtype=np.uint64, count=len(self._later))
            yield ids, np.stack([document.vector for document in self._later.values()])

    def _open(self, entry: SegmentEntry) -> SegmentRows:
        segment = read_segment_rows(
            self._directory, entry, lambda file: self._filesystem.map(self._directory / file.name)
        )
        if segment.vectors.shape[1] != self.manifest.dimension:
            raise DataDamaged(
                f"vectors have dimension {segment.vectors.shape[1]}, MANIFEST states {self.manifest.dimension}",
                path=self._directory / entry.rows.name,
            )
        return segment

    def _replay(self) -> None:
        chain = WalChain(self._filesystem, self._directory, self.manifest)
        for entry in self.manifest.wal:
            if is_sealed(entry, self.manifest.sealed_lsn):
                continue
            for frame in chain.read(entry).operations:
                if frame.lsn > self.manifest.sealed_lsn:
                    for record in chain.decode(entry, frame):
                        self._apply(record)

    def _apply(self, record: Record) -> None:
        key = record.key
        before = self._take(key)
        if isinstance(record, PutRecord):
            self._later[key] = _document(key, record.vector, record.metadata)
        elif not isinstance(record, DeleteRecord) and before is not None:
            self._later[key] = _document(key, before.vector, metadata_after(record, before.metadata))

    def _take(self, key: Key) -> Document | None:
        """The document as it was, taken out of where it was."""
        if key in self._later:
            return self._later.pop(key)
        for segment in self._segments:
            row = segment.lookup(key)
            if row is not None:
                segment.delete(row)
                return _document_at(segment, row)
        return None


def _document_at(segment: SegmentRows, row: int) -> Document:
    metadata = decode_metadata(segment.public_of(row)) | decode_metadata(segment.reserved_of(row))
    (owner,) = segment.owners_of(np.array([row])).tolist()
    return Document(int(segment.ids[row]), segment.vectors[row], metadata, tenant_of(owner))


def _document(key: Key, vector: Vector, metadata: Mapping[str, str]) -> Document:
    return Document(key_doc_id(key), vector, metadata, tenant_of(key_owner(key)))
