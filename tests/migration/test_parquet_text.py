"""A value of a Parquet column becomes the shortest text that reads back as the column's own type."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pykyro.migration.directory_documents import PortableDocument
from pykyro.migration.parquet import ParquetReader
from pykyro.migration.rows import BadRow, checked_row
from pykyro.model.arguments import Schema
from pykyro.model.types import Metric

SCHEMA = Schema(2, Metric.COSINE)
BERLIN = pa.timestamp("us", "Europe/Berlin")
NOON = datetime.datetime(2026, 11, 29, 12, 0, 0)

TEXTS: dict[str, tuple[Any, list[Any], list[str | None]]] = {
    "float16": (pa.float16(), [0.1, 2048.0, None], ["0.1", "2048", None]),
    "float32": (pa.float32(), [0.1, 2020.0, 1e20, 16777216.0], ["0.1", "2020", "1e+20", "16777216"]),
    "float64": (pa.float64(), [0.1, 1e300, 2.0**53], ["0.1", "1e+300", "9007199254740992"]),
    "int8": (pa.int8(), [-5, 7], ["-5", "7"]),
    "uint64": (pa.uint64(), [2**64 - 1], ["18446744073709551615"]),
    "decimal128": (
        pa.decimal128(10, 2),
        [Decimal("1.10"), Decimal("-7.00"), Decimal("0.05")],
        ["1.1", "-7", "0.05"],
    ),
    "decimal256": (pa.decimal256(50, 2), [Decimal("1" * 40)], ["1" * 40]),
    "bool": (pa.bool_(), [True, False], ["true", "false"]),
    "date32": (
        pa.date32(),
        [datetime.date(2026, 11, 29), datetime.date(1, 1, 1)],
        ["2026-11-29", "0001-01-01"],
    ),
    "date64": (pa.date64(), [datetime.date(1969, 12, 31)], ["1969-12-31"]),
    "time32": (pa.time32("ms"), [datetime.time(12, 30, 0, 500_000)], ["12:30:00.5"]),
    "time64": (pa.time64("ns"), [1], ["00:00:00.000000001"]),
    "timestamp s": (pa.timestamp("s"), [NOON], ["2026-11-29T12:00:00"]),
    "timestamp ns": (
        pa.timestamp("ns"),
        [1, -1],
        ["1970-01-01T00:00:00.000000001", "1969-12-31T23:59:59.999999999"],
    ),
    "timestamp with zone": (BERLIN, [NOON], ["2026-11-29T12:00:00+00:00"]),
    "string": (pa.string(), ["x", None, ""], ["x", None, ""]),
    "large string": (pa.large_string(), ["x"], ["x"]),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), ["x", "y", "x"], ["x", "y", "x"]),
    "null": (pa.null(), [None, None], [None, None]),
}


def _written(path: Path, metadata: Any) -> list[PortableDocument | BadRow | None]:
    rows = len(metadata)
    table = pa.table({"id": list(range(1, rows + 1)), "vector": [[1.0, 2.0]] * rows, "metadata": metadata})
    pq.write_table(table, path)
    return [
        row if isinstance(row, BadRow) else checked_row(row, SCHEMA, None)
        for row in ParquetReader(path).rows(0)
    ]


@pytest.mark.parametrize("name", TEXTS)
def test_a_struct_of_any_type(tmp_path: Path, name: str) -> None:
    kind, values, texts = TEXTS[name]
    metadata = pa.StructArray.from_arrays([pa.array(values, kind)], names=["a"])
    found = _written(tmp_path / "rows.parquet", metadata)
    assert [document.metadata for document in found if isinstance(document, PortableDocument)] == [
        {} if text is None else {"a": text} for text in texts
    ]


@pytest.mark.parametrize("name", ["float32", "string", "decimal128", "timestamp with zone"])
def test_a_map_of_any_type(tmp_path: Path, name: str) -> None:
    kind, values, texts = TEXTS[name]
    metadata = pa.array([[("a", value)] for value in values], pa.map_(pa.string(), kind))
    found = _written(tmp_path / "rows.parquet", metadata)
    assert [document.metadata for document in found if isinstance(document, PortableDocument)] == [
        {} if text is None else {"a": text} for text in texts
    ]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_every_float_reads_back_as_itself(tmp_path: Path, kind: Any) -> None:
    bits = np.random.default_rng(0).integers(0, 2**15 if kind is np.float16 else 2**31, 500)
    values = bits.astype(f"u{kind().itemsize}").view(kind)
    values = values[np.isfinite(values)]
    metadata = pa.StructArray.from_arrays([pa.array(values)], names=["a"])
    found = _written(tmp_path / "rows.parquet", metadata)
    texts = [document.metadata["a"] for document in found if isinstance(document, PortableDocument)]
    assert np.array([kind(text) for text in texts]).tobytes() == values.tobytes()


def test_times_come_in_the_order_of_their_texts(tmp_path: Path) -> None:
    values = sorted({0, 1, 999, 1000, 1500, 1510, 2000, 60_000, 86_400_000})
    for kind in (pa.timestamp("ms"), pa.timestamp("ms", "UTC")):
        metadata = pa.StructArray.from_arrays([pa.array(values, kind)], names=["a"])
        found = _written(tmp_path / "rows.parquet", metadata)
        texts = [document.metadata["a"] for document in found if isinstance(document, PortableDocument)]
        assert texts == sorted(texts)
        assert len(texts) == len(values)


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (pa.list_(pa.int64()), [1], "column 'metadata.a' is of type list<"),
        (pa.list_(pa.string()), ["x"], "column 'metadata.a' is of type list<element: string>, which"),
        (pa.struct([("b", pa.int64())]), {"b": 1}, "column 'metadata.a' is of type struct<b: int64>"),
        (pa.binary(), b"x", "column 'metadata.a' is of type binary, which cannot become metadata"),
        (pa.duration("s"), 5, "column 'metadata.a' is of type duration"),
        (pa.timestamp("s"), 2**45, "column 'metadata.a' holds a time"),
        (pa.float32(), float("nan"), "metadata.a must not be NaN"),
    ],
    ids=str,
)
def test_what_has_no_text_is_refused_by_the_name_of_its_column(
    tmp_path: Path, kind: Any, value: Any, words: str
) -> None:
    metadata = pa.StructArray.from_arrays(
        [pa.array([value, None], kind), pa.array(["x", "y"])], names=["a", "b"]
    )
    bad, good = _written(tmp_path / "rows.parquet", metadata)
    assert isinstance(bad, BadRow)
    assert words in bad.reason
    assert isinstance(good, PortableDocument)
    assert good.metadata == {"b": "y"}
