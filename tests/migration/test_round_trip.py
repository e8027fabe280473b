"""Export and import again: the same documents bit for bit, in every format."""

from __future__ import annotations

import json
import math
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.migration.databases import DIMENSION, build, content, content_of, documents, many
from tests.model.values import kept

from pykyro.migration.destination import DirectoryDestination, open_directory
from pykyro.migration.directory_documents import EVERYTHING, PortableDocument, Selection
from pykyro.migration.export import ExportOptions, export
from pykyro.migration.export_record import ExportRecord, Format
from pykyro.migration.frozen_copy import copy_directory
from pykyro.migration.importing import ImportOptions, ImportProgress, import_documents
from pykyro.migration.input_files import find_input
from pykyro.migration.parquet import ParquetReader
from pykyro.migration.rows import BadRow, Row, checked_row
from pykyro.model.arguments import Schema
from pykyro.model.types import Metric

FORMATS: tuple[Format, ...] = ("parquet", "jsonl", "npy")


def export_from(
    data: Path, out: Path, kind: Format, selection: Selection = EVERYTHING, rows: int = 7
) -> ExportRecord:
    return export(
        out,
        lambda filesystem, place: copy_directory(filesystem, data, place),
        ExportOptions(source=str(data), format=kind, selection=selection, rows_per_part=rows),
    )


def import_into(data: Path, out: Path, **options: str) -> ImportProgress:
    source = find_input(out, None, 1)
    assert source.record is not None
    engine = open_directory(data, source.record.dimension, source.record.distance.value)
    try:
        destination = DirectoryDestination(engine, data)
        return import_documents(
            source,
            destination,
            ImportOptions(progress=data.parent / "progress", **options),  # type: ignore[arg-type]
        )
    finally:
        engine.close()


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=25, deadline=None)
@given(wanted=documents())
def test_all_tenants_come_back_bit_for_bit(kind: Format, wanted: list[PortableDocument]) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        build(root / "data", wanted)
        assert content(root / "data") == content_of(wanted)
        record = export_from(root / "data", root / "out", kind)
        assert (record.documents, record.complete) == (len(wanted), True)
        found = import_into(root / "again", root / "out")
        assert (found.stored, found.skipped) == (len(wanted), 0)
        assert content(root / "again") == content_of(wanted)
        assert not (root / "progress").exists()


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=10, deadline=None)
@given(wanted=documents(), tenant=st.sampled_from(["acme", None]), namespace=st.sampled_from(["", "n0"]))
def test_one_tenant_and_one_namespace_are_chosen(
    kind: Format, wanted: list[PortableDocument], tenant: str | None, namespace: str
) -> None:
    wanted = [document for document in wanted if (document.tenant, document.doc_id) != ("acme", 5)]
    wanted.append(PortableDocument(5, np.ones(3, np.float32), {}, "n0", "acme"))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        build(root / "data", wanted)
        export_from(root / "data", root / "out", kind, Selection(tenant, namespace))
        import_into(root / "again", root / "out", **({"tenant": tenant} if tenant else {}))
        chosen = [
            document
            for document in wanted
            if tenant in (None, document.tenant) and namespace in ("", document.namespace)
        ]
        assert content(root / "again") == content_of(chosen)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", [b"\xff\xfe raw", "äö → 漢字".encode(), b"new\nline"])
def test_directories_may_have_any_name(kind: Format, name: bytes, tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(name)
    root.mkdir()
    build(root / "data", many(20))
    export_from(root / "data", root / "out", kind)
    import_into(root / "back", root / "out")
    assert content(root / "back") == content(root / "data")


@pytest.mark.parametrize("kind", FORMATS)
def test_importing_twice_changes_nothing(kind: Format, tmp_path: Path) -> None:
    wanted = many(50)
    build(tmp_path / "data", wanted)
    export_from(tmp_path / "data", tmp_path / "out", kind)
    for _ in range(2):
        assert import_into(tmp_path / "again", tmp_path / "out").stored == 50
        assert content(tmp_path / "again") == content_of(wanted)


def test_files_can_be_read_by_others(tmp_path: Path) -> None:
    """What the documentation says of the three formats, read with the tools it names."""
    import pyarrow.parquet as pq

    wanted = many(20, tenant="acme")
    build(tmp_path / "data", wanted)
    for kind in FORMATS:
        export_from(tmp_path / "data", tmp_path / kind, kind, rows=100)
    table = pq.read_table(tmp_path / "parquet" / "part-00001.parquet")
    names = ["id", "vector", "metadata", "namespace", "tenant", "metadata_types", "expires_at"]
    assert table.schema.names == names
    assert str(table.schema.field("vector").type) == "fixed_size_list<element: float not null>[3]"
    first = table.to_pylist()[0]
    assert (first["id"], dict(first["metadata"])["at"], first["tenant"]) == (1, "1", "acme")
    part = tmp_path / "npy" / "part-00001"
    vectors, ids = np.load(part / "vectors.npy"), np.load(part / "ids.npy")
    assert (vectors.dtype, vectors.shape) == (np.float32, (20, DIMENSION))
    assert ids.tolist() == list(range(1, 21))
    assert vectors[4].tobytes() == wanted[4].vector.tobytes()
    assert (tmp_path / "jsonl" / "part-00001.jsonl").read_text("utf-8").count("\n") == 20


VALUES = {
    "n": 7,
    "share": 2.0,
    "flag": True,
    "none": None,
    "at": datetime(2020, 1, 31, 12, tzinfo=UTC),
    "list": [1, "x", {"$a": math.inf}],
    "o": {"b": {"c": 0.5}},
    "text": "7",
}


def test_values_are_json_of_their_type(tmp_path: Path) -> None:
    document = PortableDocument(1, np.ones(3, np.float32), kept(VALUES))
    build(tmp_path / "data", [document])
    export_from(tmp_path / "data", tmp_path / "out", "jsonl")
    line = json.loads((tmp_path / "out" / "part-00001.jsonl").read_text("utf-8"))
    assert line["metadata"] == {
        **VALUES,
        "at": {"$time": "2020-01-31T12:00:00Z"},
        "list": [1, "x", {"$object": {"$a": {"$float": "inf"}}}],
    }
    assert (type(line["metadata"]["n"]), type(line["metadata"]["share"])) == (int, float)


def test_values_of_parquet_have_their_types_beside_them(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    documents = [PortableDocument(1, np.ones(3, np.float32), kept(VALUES))]
    documents.append(PortableDocument(2, np.ones(3, np.float32), {"text": "7"}))
    build(tmp_path / "data", documents)
    export_from(tmp_path / "data", tmp_path / "out", "parquet")
    rows = pq.read_table(tmp_path / "out" / "part-00001.parquet").to_pylist()
    by_id = {row["id"]: row for row in rows}
    assert by_id[1]["metadata_types"] == "dblinoft"
    assert dict(by_id[1]["metadata"])["at"] == "2020-01-31T12:00:00Z"
    assert by_id[2]["metadata_types"] is None


@pytest.mark.parametrize(
    ("tags", "words"),
    [("i", "one for each of the 2 entries"), ("iz", "'z' is no type"), ("ti", "metadata.b is no integer")],
)
def test_types_that_do_not_fit_are_named(tmp_path: Path, tags: str, words: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    build(tmp_path / "data", [PortableDocument(1, np.ones(3, np.float32), {"a": "1", "b": "x"})])
    export_from(tmp_path / "data", tmp_path / "out", "parquet")
    path = tmp_path / "out" / "part-00001.parquet"
    table = pq.read_table(path)
    at = table.schema.get_field_index("metadata_types")
    pq.write_table(table.set_column(at, "metadata_types", pa.array([tags])), tmp_path / "rows.parquet")
    (row,) = ParquetReader(tmp_path / "rows.parquet").rows(0)
    found = checked_row(row, Schema(3, Metric.EUCLIDEAN), None) if isinstance(row, Row) else row
    assert isinstance(found, BadRow)
    assert words in found.reason
