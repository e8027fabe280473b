"""The documents of a data directory, put together from its files without the engine that would serve them.

Sections of a cold segment that are read here: the keys of rows (storage/row_keys.py), "vectors", and metadata,
"public" and "reserved" with their "_offsets"; engine/cold_segment.py states their format. The log after them
replaces, changes or removes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from kyrodb.backup.census import live_mask
from kyrodb.distance import Question
from kyrodb.errors import DataDamaged
from kyrodb.metadata_wire import decode_metadata
from kyrodb.storage.filesystem import FileSystem
from kyrodb.storage.manifest import Manifest, SegmentEntry, read_manifest
from kyrodb.storage.records import DeleteRecord, PutRecord, Record
from kyrodb.storage.row_keys import DocIds, RowKeys, read_row_keys
from kyrodb.storage.section_file import SectionFile, read_section_file
from kyrodb.storage.wal_chain import WalChain
from kyrodb.storage.wal_retention import is_sealed
from kyrodb.types import Document, Key, Matrix, Vector, key_doc_id, key_owner, tenant_of

_CHUNK_ROWS: Final = 8192


class _MetadataColumn:
    """The metadata of a segment's rows, one of the two kinds."""

    def __init__(self, file: SectionFile, name: str) -> None:
        self._bytes = file.section(name)
        self._offsets = file.section(f"{name}_offsets")

    def of(self, row: int) -> dict[str, str]:
        start, end = self._offsets[row : row + 2].tolist()
        return decode_metadata(self._bytes[start:end].tobytes())


@dataclass(slots=True)
class _Segment:
    keys: RowKeys
    vectors: Matrix
    live: npt.NDArray[np.bool_]
    public: _MetadataColumn
    reserved: _MetadataColumn

    def row_of(self, key: Key) -> int | None:
        """The live row of a document."""
        return next((row for row in self.keys.rows_of(key) if self.live[row]), None)

    def document(self, row: int) -> Document:
        metadata = self.public.of(row) | self.reserved.of(row)
        (owner,) = self.keys.owners_of(np.array([row])).tolist()
        return Document(int(self.keys.ids[row]), self.vectors[row], metadata, tenant_of(owner))


class Recovered:
    """The state of a directory that no server is changing. Raises DataDamaged, OSError, like all that reads it."""

    def __init__(self, filesystem: FileSystem, directory: Path) -> None:
        self._filesystem = filesystem
        self._directory = directory
        self.manifest: Manifest = read_manifest(filesystem, directory)
        self._segments = [self._open(entry) for entry in self.manifest.segments]
        self._later: dict[Key, Document] = {}
        self._replay()

    @property
    def count(self) -> int:
        """Live documents."""
        return sum(int(segment.live.sum()) for segment in self._segments) + len(self._later)

    def documents(self) -> Iterator[Document]:
        """Every live document, those of the log last."""
        for segment in self._segments:
            for row in np.flatnonzero(segment.live):
                yield segment.document(int(row))
        yield from self._later.values()

    def some(self, count: int) -> list[Document]:
        """Up to `count` live documents, spread over the segments and the log."""
        found = []
        for segment in self._segments:
            rows = np.flatnonzero(segment.live)
            found += [segment.document(int(row)) for row in rows[:: max(1, len(rows) // count)][:count]]
        found += list(self._later.values())[:count]
        return found[:: max(1, len(found) // count)][:count]

    def nearest(self, vector: Vector) -> tuple[int, float]:
        """The document most similar to `vector`, the smallest id of equals, and its similarity; every one is
        looked at. There must be a document."""
        question = Question(vector, self.manifest.metric)
        best: tuple[float, int] | None = None
        for ids, rows in self._chunks():
            values = question.similarities(rows)
            top = float(values.max())
            found = (-top, int(ids[values == top].min()))
            best = found if best is None else min(best, found)
        assert best is not None
        return best[1], -best[0]

    def _chunks(self) -> Iterator[tuple[DocIds, Matrix]]:
        for segment in self._segments:
            rows = np.flatnonzero(segment.live)
            for start in range(0, len(rows), _CHUNK_ROWS):
                part = rows[start : start + _CHUNK_ROWS]
                yield segment.keys.ids[part], segment.vectors[part]
        if self._later:
            ids = np.fromiter(map(key_doc_id, self._later), dtype=np.uint64, count=len(self._later))
            yield ids, np.stack([document.vector for document in self._later.values()])

    def _open(self, entry: SegmentEntry) -> _Segment:
        content = {file.name: self._filesystem.map(self._directory / file.name) for file in entry.files}
        path = self._directory / entry.rows.name
        file = read_section_file(content[entry.rows.name], path, entry.rows.facts)
        keys, vectors = read_row_keys(file), file.section("vectors")
        if len(keys.ids) != entry.row_count or vectors.shape != (entry.row_count, self.manifest.dimension):
            raise DataDamaged("sections do not have the rows MANIFEST states", path=path)
        return _Segment(
            keys,
            vectors,
            live_mask(self._directory, entry, content),
            _MetadataColumn(file, "public"),
            _MetadataColumn(file, "reserved"),
        )

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
            self._later[key] = _document(key, before.vector, record.metadata)

    def _take(self, key: Key) -> Document | None:
        """The document as it was, taken out of where it was."""
        if key in self._later:
            return self._later.pop(key)
        for segment in self._segments:
            row = segment.row_of(key)
            if row is not None:
                segment.live[row] = False
                return segment.document(row)
        return None


def _document(key: Key, vector: Vector, metadata: Mapping[str, str]) -> Document:
    return Document(key_doc_id(key), vector, metadata, tenant_of(key_owner(key)))
