"""Tables of documents in and out: what columns mean, and that what comes out goes in again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pykyro
from pykyro.model.answers import DocumentPage, Hit, SearchAnswer, StoredDocument
from pykyro.model.arguments import Schema
from pykyro.model.documents import Intake
from pykyro.model.errors import InvalidArgument
from pykyro.model.tables import to_arrow, to_pandas
from pykyro.model.typed_text import tags_of
from pykyro.model.types import Metric
from pykyro.model.values import values_with_tags

NOON = datetime(2024, 6, 30, 12, tzinfo=UTC)
SCHEMA = Schema(2, Metric.EUCLIDEAN)


def taken(documents: Any) -> list[tuple[int, list[float], dict[str, Any]]]:
    """What an `insert_many` of these would store. Raises InvalidArgument for the first that is refused."""
    intake = Intake(documents)
    found = [
        (one.doc_id, one.vector.tolist(), values_with_tags(one.metadata, tags_of(one.metadata)))
        for one in (put.document for put in intake.accepted(SCHEMA))
    ]
    if intake.report.refused:
        raise InvalidArgument(intake.report.refused[0].reason)
    return found


def document(doc_id: int, metadata: Mapping[str, Any]) -> StoredDocument:
    return StoredDocument(doc_id, np.array([doc_id, 0.5], np.float32), dict(metadata))


COLUMNS: dict[str, Any] = {
    "id": [1, 2, 2**63],
    "vector": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
    "lang": ["de", None, "en"],
    "year": [2020, 2021, None],
    "read": [True, False, None],
    "at": [NOON, None, NOON],
    "tags": [["a", "b"], None, []],
    "metadata": [{"lang": "fr", "more": 1}, None, {}],
    "metadata.id": ["x", None, None],
}
WANTED = [
    (
        1,
        [1.0, 2.0],
        {"lang": "de", "more": 1, "year": 2020, "read": True, "at": NOON, "tags": ["a", "b"], "id": "x"},
    ),
    (2, [3.0, 4.0], {"year": 2021, "read": False}),
    (2**63, [5.0, 6.0], {"lang": "en", "at": NOON, "tags": []}),
]


def arrow_table() -> pa.Table:
    return pa.table(
        {
            **{name: pa.array(values) for name, values in COLUMNS.items() if name not in ("id", "vector")},
            "id": pa.array(COLUMNS["id"], pa.uint64()),
            "vector": pa.array(COLUMNS["vector"], pa.list_(pa.float32(), 2)),
        }
    )


def pandas_frame() -> pd.DataFrame:
    nullable = {"year": pd.array(COLUMNS["year"], dtype="Int64"), "id": np.array(COLUMNS["id"], np.uint64)}
    return pd.DataFrame({**COLUMNS, **nullable})


TABLES: dict[str, Callable[[], Any]] = {
    "Table": arrow_table,
    "RecordBatch": lambda: arrow_table().to_batches()[0],
    "reader": lambda: pa.RecordBatchReader.from_batches(arrow_table().schema, arrow_table().to_batches(1)),
    "DataFrame": pandas_frame,
    "DataFrame by id": lambda: pandas_frame().set_index("id"),
    "records": lambda: [
        {key: value for key, value in row.items() if value is not None and key != "metadata.id"}
        | ({"metadata": row["metadata"] | {"id": "x"}} if row["id"] == 1 else {})
        for row in (dict(zip(COLUMNS, values, strict=True)) for values in zip(*COLUMNS.values(), strict=True))
    ],
}


@pytest.mark.parametrize("kind", TABLES)
def test_columns_are_documents(kind: str) -> None:
    assert taken(TABLES[kind]()) == WANTED


def test_a_dataclass_is_a_document() -> None:
    @dataclass
    class Page:
        id: int
        vector: list[float]
        title: str
        score: float | None = None

    assert taken([Page(1, [1.0, 2.0], "t")]) == [(1, [1.0, 2.0], {"title": "t", "score": None})]
    with pytest.raises(InvalidArgument, match="put it in a list"):
        taken(Page(1, [1.0, 2.0], "t"))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"id": [1], "embedding": [[1.0, 2.0]]}, "vector is missing among id, embedding"),
        ({"vector": [[1.0, 2.0]]}, "id is missing"),
        ({"id": [1], "vector": [[1.0, 2.0]], "a": [1], "metadata.a": [2]}, "more than one column for 'a'"),
        ({"id": [1.5], "vector": [[1.0, 2.0]]}, "doc_id must be an integer, got float 1.5"),
        ({"id": [1], "vector": [[1.0, None]]}, "finite|an array of numbers"),
        ({"id": [1], "vector": [[1.0, 2.0]], "at": [datetime(2024, 6, 30)]}, "without a time zone"),
        ({"id": [1], "vector": [[1.0, 2.0]], "b": [b"x"]}, "metadata.b must be text"),
    ],
)
def test_a_column_that_is_wrong_is_named(columns: dict[str, Any], words: str) -> None:
    for table in (pa.table(columns), pd.DataFrame(columns)):
        with pytest.raises(InvalidArgument, match=words):
            taken(table)
    with pytest.raises(InvalidArgument, match="must have texts as names, got int 7"):
        taken(pd.DataFrame({"id": [1], "vector": [[1.0, 2.0]], 7: [1]}))
    with pytest.raises(InvalidArgument, match="is no table of documents"):
        taken(pa.array([1, 2]))


ROUND = st.dictionaries(
    st.sampled_from(["a", "b", "id", "score", "metadata", "metadata.a", "vector"]),
    st.one_of(st.text(max_size=3), st.integers(-(2**63), 2**64 - 1), st.booleans(), st.just(NOON)),
    max_size=4,
)


@settings(max_examples=60)
@given(st.lists(ROUND, max_size=4))
def test_what_comes_out_of_pandas_goes_in_again(entries: list[dict[str, Any]]) -> None:
    documents = [document(at, one) for at, one in enumerate(entries, 1)]
    back = taken(to_pandas(documents)) if documents else []
    assert [metadata for _, _, metadata in back] == entries
    assert [doc_id for doc_id, _, _ in back] == [one.id for one in documents]
    for one, (_, _, metadata) in zip(entries, back, strict=True):
        assert {key: type(value) for key, value in one.items()} == {
            key: datetime if isinstance(value, datetime) else type(value) for key, value in metadata.items()
        }


@settings(max_examples=60)
@given(st.lists(ROUND, max_size=4))
def test_what_comes_out_of_arrow_goes_in_again_where_a_key_has_one_type(
    entries: list[dict[str, Any]],
) -> None:
    documents = [document(at, one) for at, one in enumerate(entries, 1)]
    back = taken(to_arrow(documents)) if documents else []
    for one, (_, vector, metadata) in zip(documents, back, strict=True):
        assert one.vector is not None
        assert vector == one.vector.tolist()
        assert one.metadata.keys() == metadata.keys()
        for key, value in one.metadata.items():
            kinds = {type(other[key]) for other in entries if key in other}
            numbers = [other[key] for other in entries if key in other and type(other[key]) is int]
            if len(kinds) == 1 and not (numbers and min(numbers) < 0 and max(numbers) >= 2**63):
                assert metadata[key] == value
            else:
                assert isinstance(metadata[key], str)


def test_columns_have_the_types_of_their_values() -> None:
    documents = [
        document(1, {"n": 1, "mixed": 1, "nested": {"a": 1}, "both": 1, "list": [1, 2]}),
        document(2, {"n": None, "mixed": "x", "nested": {"a": 2}, "both": 0.5, "list": [3]}),
    ]
    table = to_arrow([documents[0], None, documents[1]])
    assert {name: str(table.schema.field(name).type) for name in table.schema.names} == {
        "id": "uint64",
        "vector": "fixed_size_list<item: float>[2]",
        "n": "int64",
        "mixed": "string",
        "nested": "struct<a: int64>",
        "both": "double",
        "list": "list<item: int64>",
    }
    assert table.column("mixed").to_pylist() == ["1", "x"]
    frame = to_pandas(documents)
    assert frame["mixed"].tolist() == [1, "x"]
    assert str(frame["n"].dtype) == "Int64"
    assert str(frame["id"].dtype) == "uint64"
    assert frame["vector"][1].tolist() == [2.0, 0.5]


def test_answers_and_pages_are_tables() -> None:
    hits = [Hit(7, 0.5, {"lang": "de"}), Hit(9, 0.25, {})]
    answer = SearchAnswer(hits, 2, True, True, "", frozenset(), "", 2, 2, 0.123)
    assert answer.to_arrow().to_pydict() == {"id": [7, 9], "score": [0.5, 0.25], "lang": ["de", None]}
    assert answer.to_pandas().columns.tolist() == ["id", "score", "lang"]
    assert answer.to_pandas()["score"].dtype == np.float32
    empty = SearchAnswer([], 0, True, True, "", frozenset(), "", 0, 0, 0.1)
    assert empty.to_pandas().columns.tolist() == empty.to_arrow().column_names == ["id", "score"]
    page = DocumentPage([document(1, {})], "", 3)
    assert page.to_arrow().to_pydict() == {"id": [1], "vector": [[1.0, 0.5]]}
    assert len(page.to_pandas()) == len(pykyro.to_pandas(iter(page))) == 1


def test_what_is_shown_of_answers_is_short() -> None:
    many = [Hit(at, 0.5, {"text": "x" * 1000}, np.zeros(500, np.float32)) for at in range(1, 101)]
    answer = SearchAnswer(many, 100, False, False, "no cold tier", frozenset(), "plan", 100, 100, 1.23456)
    assert repr(answer) == (
        "SearchAnswer(100 hits, ids=[1, 2, 3, 4, 5, …], exact=False, matched=100, latency_ms=1.23, "
        "complete=False, note='no cold tier')"
    )
    assert repr(many[0]).endswith("xxx…, vector of 500)")
    assert len(repr(many[0])) < 300
    page = DocumentPage([document(1, {"a": 1})], "up:1", 3)
    assert repr(page) == "DocumentPage(1 documents, ids=[1], position=3, next_page_token='up:1')"
    assert repr(page[0]) == "StoredDocument(id=1, metadata={'a': 1}, vector of 2)"


def test_a_missing_library_is_named() -> None:
    program = (
        "import sys; sys.modules['pandas'] = sys.modules['pyarrow'] = None\n"
        "import pykyro\n"
        "for make in (pykyro.to_pandas, pykyro.to_arrow):\n"
        "    try: make([])\n"
        "    except pykyro.FailedPrecondition as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "to_pandas needs pandas: pip install 'pykyro[frames]'",
        "to_arrow needs pyarrow: pip install 'pykyro[frames]'",
    ]
