"""Files that are damaged or made to do harm: refused with file, row, field and bound, or skipped and told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.migration.databases import build, content, many
from tests.migration.importer import NEW, Importer, rows_file
from tests.migration.test_round_trip import FORMATS, export_from

from pykyro.migration.export_record import Format

# --- rows and files that are not as they should be ------------------------------------------------

BAD_LINES: dict[str, str] = {
    '{"id": 2, "vector": [1, 2]}': "vector dimension mismatch: expected 3 found 2",
    '{"id": 2, "vector": [1, NaN, 3]}': "vector must contain only finite values: component 1 is nan",
    '{"id": 2, "vector": [1, 1e39, 3]}': "vector must contain only finite values: component 1 is inf",
    '{"id": 2, "vector": [1, "2", 3]}': "vector must be an array of numbers",
    '{"id": 2, "vector": [1, 2, ' + "9" * 400 + "]}": "vector must",
    '{"id": 2, "vector": [1, 2, ' + "9" * 5000 + "]}": "the line is not JSON",
    '{"id": 2, "vector": []}': "vector cannot be empty",
    '{"id": 2, "vector": 7}': "vector must have one dimension",
    '{"id": 0, "vector": [1, 2, 3]}': "doc_id must be >= 1 and <= 18446744073709551615, got 0",
    '{"id": 18446744073709551616, "vector": [1, 2, 3]}': "doc_id must be >= 1",
    '{"id": "2", "vector": [1, 2, 3]}': "doc_id must be an integer, got str '2'",
    '{"id": true, "vector": [1, 2, 3]}': "doc_id must be an integer",
    '{"vector": [1, 2, 3]}': "id missing",
    '{"id": 2}': "vector missing",
    '{"id": 2, "embedding": [1, 2, 3]}': "field 'embedding' is unknown: one of id, vector",
    '{"id": 2, "vector": [1, 2, 3], "metadata": {"a": {"$b": 1}}}': "metadata.a is no value",
    '{"id": 2, "vector": [1, 2, 3], "metadata": {"a": NaN}}': "metadata.a must not be NaN",
    '{"id": 2, "vector": [1, 2, 3], "metadata": {"a": 18446744073709551616}}': "a number in it has 65 bits",
    '{"id": 2, "vector": [1, 2, 3], "metadata": ["a"]}': "metadata must be a map, got list",
    '{"id": 2, "vector": [1, 2, 3], "metadata": {"a": "\\ud800"}}': "metadata.a",
    '{"id": 2, "vector": [1, 2, 3], "metadata": {"' + "k" * 1025 + '": "v"}}': "has 1025 bytes",
    '{"id": 2, "vector": [1, 2, 3], "namespace": 7}': "namespace must be text, got int",
    '{"id": 2, "vector": [1, 2, 3], "namespace": "' + "n" * 1025 + '"}': "namespace has 1025 bytes",
    '{"id": 2, "vector": [1, 2, 3], "tenant": "../x"}': "tenant must be A-Z a-z 0-9 _",
    '{"id": 18446744073709551616, "vector": [1, 2, 3], "tenant": "acme"}': "18446744073709551615",
    "[1, 2]": "the line must be a JSON object, got list",
    "": "the line is not JSON",
    "[" * 100_000: "the line is not JSON",
    "\udcff": "byte 0 of the line is not UTF-8",
}


@pytest.mark.parametrize("bad", BAD_LINES, ids=range(len(BAD_LINES)))
def test_bad_row_is_named_with_field_value_and_bound(bad: str, tmp_path: Path, importer: Importer) -> None:
    before, after = '{"id": 1, "vector": [1, 2, 3]}', '{"id": 3, "vector": [1, 2, 3]}'
    path = rows_file(tmp_path, before, bad, after)
    told = importer.refused(path)
    assert f"{path} row 2: " in told
    assert BAD_LINES[bad] in told
    # What stood before it is stored, and the next try begins with it.
    assert list(content(importer.data)) == [("", 1)]
    assert "Imported 2 documents" in importer(path, "--skip-bad")
    assert f"Warning: {path} row 2: " in importer.err
    assert sorted(content(importer.data)) == [("", 1), ("", 3)]


def test_line_longer_than_any_document_ends_the_file(tmp_path: Path, importer: Importer) -> None:
    path = rows_file(tmp_path, '{"id": 1, "vector": [1, 2, 3]}', " " * ((16 << 20) + 1))
    assert f"{path} row 2: the line exceeds 16777216 bytes" in importer.refused(path, "--skip-bad")


def npy_bytes(tmp_path: Path, array: Any, **options: bool) -> bytes:
    path = tmp_path / "made.npy"
    np.save(path, array, **options)
    return path.read_bytes()


def npz_bytes(tmp_path: Path) -> bytes:
    path = tmp_path / "made.npz"
    np.savez(path, a=np.ones((2, 3)))
    return path.read_bytes()


def lying(tmp_path: Path) -> bytes:
    """A header that promises more rows than there are."""
    return npy_bytes(tmp_path, np.ones((10, 3), np.float32)).replace(b"(10, 3)", b"(99, 3)")


BAD_NPY: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "objects": (lambda p: npy_bytes(p, np.array([[1, "a", None]], object), allow_pickle=True), "object"),
    "truncated": (lambda p: npy_bytes(p, np.ones((10, 3), np.float32))[:-5], "not a usable npy file"),
    "lying": (lying, "not a usable npy file"),
    "huge": (lambda p: lying(p).replace(b"(99, 3)", b"(9" + b"9" * 18 + b", 3)"), "not a usable npy file"),
    "empty": (lambda p: b"", "not a usable npy file"),
    "text": (lambda p: b"1,2,3\n", "not a usable npy file"),
    "an archive": (lambda p: npz_bytes(p), "must be an npy file of one array"),
    "one dimension": (lambda p: npy_bytes(p, np.ones(9)), "in the shape (rows, dimension)"),
    "texts": (lambda p: npy_bytes(p, np.array([["a", "b"]])), "must hold numbers"),
    "no components": (lambda p: npy_bytes(p, np.ones((9, 0))), "dimension 0 is not from 1 to 4096"),
    "too many": (lambda p: npy_bytes(p, np.ones((1, 4097), np.int8)), "dimension 4097 is not from 1 to 4096"),
    "wrong dimension": (lambda p: npy_bytes(p, np.ones((2, 4))), "row 1: vector dimension mismatch"),
    "not finite": (
        lambda p: npy_bytes(p, np.array([[1, 2, 3], [1, np.nan, 3]])),
        "row 2: vector must contain",
    ),
}


@pytest.mark.parametrize("case", BAD_NPY)
def test_bad_npy_is_refused_by_name(case: str, tmp_path: Path, importer: Importer) -> None:
    make, expected = BAD_NPY[case]
    path = tmp_path / "theirs.npy"
    path.write_bytes(make(tmp_path))
    told = importer.refused(path)
    assert str(path) in told
    assert expected in told


def npy_set(tmp_path: Path, ids: Any, lines: int) -> Path:
    directory = tmp_path / "set"
    directory.mkdir()
    np.save(directory / "vectors.npy", np.ones((3, 3), np.float32))
    np.save(directory / "ids.npy", ids)
    (directory / "metadata.jsonl").write_text('{"metadata": {"a": "b"}}\n' * lines)
    return directory


@pytest.mark.parametrize(
    ("ids", "lines", "expected"),
    [
        (np.array([1, 2]), 3, "must hold 3 integers, one a row"),
        (np.array([1.0, 2.0, 3.0]), 3, "must hold 3 integers"),
        (np.array([1, 2, -3]), 3, "row 3: doc_id must be >= 1"),
        (np.array([1, 2, 3]), 2, "metadata.jsonl ends after 2 lines, vectors.npy has 3 rows"),
        (np.array([1, 2, 3]), 4, "metadata.jsonl has more lines than the 3 rows"),
    ],
)
def test_sets_of_npy_that_do_not_fit_together(
    ids: Any, lines: int, expected: str, tmp_path: Path, importer: Importer
) -> None:
    assert expected in importer.refused(npy_set(tmp_path, ids, lines))


def parquet_bytes(tmp_path: Path, **columns: Any) -> bytes:
    path = tmp_path / "made.parquet"
    pq.write_table(pa.table(columns), path)
    return path.read_bytes()


def good_parquet(tmp_path: Path) -> bytes:
    vectors = np.random.default_rng(0).standard_normal((500, 3)).astype(np.float32)
    return parquet_bytes(tmp_path, id=range(1, 501), vector=list(vectors))


def twice(tmp_path: Path) -> bytes:
    path = tmp_path / "made.parquet"
    columns = [pa.array([1]), pa.array([[1, 2, 3]]), pa.array([2])]
    pq.write_table(pa.Table.from_arrays(columns, names=["id", "vector", "id"]), path)
    return path.read_bytes()


BAD_PARQUET: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "truncated": (lambda p: good_parquet(p)[:-20], "not a usable Parquet file"),
    "cut in the middle": (
        lambda p: good_parquet(p)[:300] + good_parquet(p)[-900:],
        "not a usable Parquet file",
    ),
    "empty": (lambda p: b"", "not a usable Parquet file"),
    "text": (lambda p: b"PAR1 nothing of the kind PAR1", "not a usable Parquet file"),
    "no vectors": (lambda p: parquet_bytes(p, id=[1], embedding=[[1.0]]), "column 'vector' is missing"),
    "twice": (twice, "column 'id' is there more than once"),
    "names not UTF-8": (
        lambda p: good_parquet(p).replace(b"vector", b"v\x80ctor"),
        "not a usable Parquet file",
    ),
    "lists of lists": (lambda p: parquet_bytes(p, id=[1], vector=[[[1.0]]]), "row 1: "),
    "no lists": (lambda p: parquet_bytes(p, id=[1], vector=[1.0]), "column 'vector' must be a list"),
    "texts": (lambda p: parquet_bytes(p, id=[1], vector=[["a", "b", "c"]]), "row 1: vector must be"),
    "null": (lambda p: parquet_bytes(p, id=[1, 2], vector=[[1, 2, 3], None]), "row 2: vector is null"),
    "null id": (lambda p: parquet_bytes(p, id=[1, None], vector=[[1, 2, 3]] * 2), "row 2: doc_id must be"),
    "null inside": (lambda p: parquet_bytes(p, id=[1], vector=[[1, None, 3]]), "row 1: vector must contain"),
    "not UTF-8": (
        lambda p: parquet_bytes(p, id=[1], vector=[[1, 2, 3]], namespace=[b"\xff"]),
        "row 1: namespace must be text, got bytes",
    ),
}


@pytest.mark.parametrize("case", BAD_PARQUET)
def test_bad_parquet_is_refused_by_name(case: str, tmp_path: Path, importer: Importer) -> None:
    make, expected = BAD_PARQUET[case]
    path = tmp_path / "theirs.parquet"
    path.write_bytes(make(tmp_path))
    told = importer.refused(path)
    assert str(path) in told
    assert expected in told


def test_small_parquet_that_stands_for_a_great_deal_is_read_in_little_memory(tmp_path: Path) -> None:
    """A few thousand bytes: a text of 20 MB in each of three hundred rows, 6 GB in a process that may have 4."""
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 300, pa.int32()), pa.array(["x" * 20_000_000]))
    table = pa.table({"id": range(1, 301), "vector": [[1.0, 2, 3]] * 300, "namespace": long})
    pq.write_table(table, tmp_path / "bomb.parquet", compression="zstd", store_schema=False)
    assert (tmp_path / "bomb.parquet").stat().st_size < 20_000
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)); "
        "from pykyro.cli.kyrodb import main; sys.exit(main(sys.argv[1:]))"
    )
    place = ["--in", str(tmp_path / "bomb.parquet"), "--data-dir", str(tmp_path / "data")]
    ended = subprocess.run(
        [sys.executable, "-c", program, "import", *place, *NEW, "--skip-bad"],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "row 1: namespace has 20000000 bytes; the maximum is 1024" in ended.stderr
    assert "300 rows left out" in ended.stdout


def test_parquet_with_more_components_than_its_rows_can_have_is_refused(
    tmp_path: Path, importer: Importer
) -> None:
    table = pa.table({"id": [1], "vector": pa.array([np.zeros(5000)], pa.list_(pa.float32()))})
    pq.write_table(table, tmp_path / "long.parquet")
    told = importer.refused(tmp_path / "long.parquet")
    assert "rows 1 to 1: column 'vector' has 5000 values; the maximum for so many rows is 4096" in told


@pytest.mark.parametrize("kind", FORMATS)
def test_export_that_was_changed_is_refused_before_a_row_of_the_part_is_read(
    kind: Format, tmp_path: Path, importer: Importer
) -> None:
    build(tmp_path / "old", many(20))
    record = export_from(tmp_path / "old", tmp_path / "out", kind)
    file = tmp_path / "out" / record.parts[1].files[-1].name
    content_before = file.read_bytes()
    changed = bytearray(content_before)
    changed[len(changed) // 2] ^= 4
    file.write_bytes(changed)
    assert f"{file}: does not match its digest" in importer.refused(tmp_path / "out", "--skip-bad")
    file.write_bytes(content_before[:-1])
    assert "bytes, EXPORT.json says" in importer.refused(tmp_path / "out")
    file.unlink()
    assert "EXPORT.json names this file, but the file is missing" in importer.refused(tmp_path / "out")
    file.write_bytes(content_before)
    importer(tmp_path / "out")
    assert len(content(importer.data)) == 20


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["parts"][0].update(name="../part-00001.jsonl"),
        lambda record: record["parts"][0]["files"][0].update(name="/etc/passwd"),
        lambda record: record["parts"][0]["files"][0].update(size_bytes=-1),
        lambda record: record.update(version=2),
        lambda record: record.update(more=1),
        lambda record: record.update(dimension=10**9),
    ],
)
def test_record_of_an_export_is_hostile_input_too(
    change: Callable[[Any], None], tmp_path: Path, importer: Importer
) -> None:
    build(tmp_path / "old", many(3))
    export_from(tmp_path / "old", tmp_path / "out", "jsonl")
    path = tmp_path / "out" / "EXPORT.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    assert f"Error: {path}: " in importer.refused(tmp_path / "out")


def test_unfinished_export_is_not_imported(tmp_path: Path, importer: Importer) -> None:
    build(tmp_path / "old", many(3))
    export_from(tmp_path / "old", tmp_path / "out", "jsonl")
    path = tmp_path / "out" / "EXPORT.json"
    path.write_text(path.read_text().replace('"complete": true', '"complete": false'))
    assert "is an export that is not complete" in importer.refused(tmp_path / "out")
