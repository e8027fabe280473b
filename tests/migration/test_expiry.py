"""Exports keep when a document goes, in every format, and leave out what is gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pykyro
from pykyro.migration import jsonl, npy, parquet
from pykyro.migration.destination import DirectoryDestination
from pykyro.migration.directory_documents import EVERYTHING, DirectoryDocuments, PortableDocument
from pykyro.migration.rows import BadRow, Row, RowReader, checked_row
from pykyro.model.arguments import Schema
from pykyro.model.types import Metric
from pykyro.storage.files.filesystem import LocalFileSystem

LATER_S = 4_000_000_000.25
SCHEMA = Schema(2, Metric.COSINE)
FORMATS: dict[str, tuple[Callable[[Path, list[PortableDocument]], None], Callable[[Path], RowReader]]] = {
    "jsonl": (jsonl.write_part, jsonl.JsonlReader),
    "npy": (lambda path, documents: npy.write_part(path, documents, 2), npy.NpyReader),
    "parquet": (
        lambda path, documents: parquet.write_part(path, documents, 2, tenants=False),
        parquet.ParquetReader,
    ),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_an_export_keeps_it(tmp_path: Path, kind: str) -> None:
    with pykyro.open(tmp_path / "from", dimension=2) as database:
        database.insert(1, [1, 0], {"a": 1}, expires_at=LATER_S)
        database.insert(2, [1, 0])
        database.insert(3, [1, 0], expires_at=1)  # past: gone at once, though the log still has it
    exported = DirectoryDocuments(LocalFileSystem(), tmp_path / "from", EVERYTHING)
    documents = [document for document in exported.each() if document is not None]
    assert [(one.doc_id, one.expires_us) for one in documents] == [(1, int(LATER_S * 1e6)), (2, 0)]
    write, read = FORMATS[kind]
    write(tmp_path / "part", documents)
    found = []
    for row in read(tmp_path / "part").rows(0):
        assert isinstance(row, Row)
        document = checked_row(row, SCHEMA, None)
        assert isinstance(document, PortableDocument)
        found.append(document)
    with pykyro.open(tmp_path / "to", dimension=2) as database, database._in_use() as engine:
        assert DirectoryDestination(engine, tmp_path / "to").store(found) == []
        assert [one.expires_at and one.expires_at.timestamp() for one in database.scroll()] == [LATER_S, None]


@pytest.mark.parametrize("instant", ["tomorrow", "2030-01-01T00:00:00", -5, [1]])
def test_a_wrong_instant_makes_a_bad_row(instant: object) -> None:
    row = Row(7, 1, np.ones(2), expires_at=instant)
    found = checked_row(row, SCHEMA, None)
    assert isinstance(found, BadRow)
    assert "expires_at" in found.reason
