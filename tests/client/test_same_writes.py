"""What every store does alike when something is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from tests.client.stores import DIMENSION, Store, fill, random_vectors

from pykyro import InvalidArgument, StoredDocument
from pykyro.model.limits import METADATA_ENTRIES_MAX, METADATA_KEY_BYTES_MAX, NAMESPACE_BYTES_MAX

ONES = [1.0] * DIMENSION
NAN_AT_2 = [1, 1, np.nan, 1, 1, 1, 1, 1]
LONG_KEY = {"k" * (METADATA_KEY_BYTES_MAX + 1): "x"}
MANY_ENTRIES = {str(n): "" for n in range(METADATA_ENTRIES_MAX + 1)}


def stored(store: Store, doc_id: int) -> StoredDocument:
    document = store.get(doc_id)
    assert document is not None
    return document


def test_a_document_comes_back_bit_for_bit(store: Store) -> None:
    vector = np.array([1e-45, -0.0, 3.4e38, 1 / 3, 2.5, -7, 1e-20, 9], dtype=np.float32)
    store.insert(2**64 - 1, vector, {"source": "wiki", "": "", "ü": "😀\0"})
    document = stored(store, 2**64 - 1)
    assert document.id == 2**64 - 1
    assert document.vector is not None
    assert document.vector.tobytes() == vector.tobytes()
    assert document.vector.dtype == np.float32
    assert document.metadata == {"source": "wiki", "": "", "ü": "😀\0"}


VECTORS: list[Any] = [
    list(range(1, 9)),
    tuple(float(x) for x in range(1, 9)),
    np.arange(1, 9, dtype=np.float64),
    np.arange(1, 9, dtype=np.uint8),
    np.arange(1, 9, dtype=">f4"),
    np.arange(1, 17, dtype=np.float32).reshape(2, 8)[0],
    np.repeat(np.arange(1, 9, dtype=np.float32), 3)[::3],
    np.arange(8, 0, -1, dtype=np.float32)[::-1],
]


def test_what_numpy_makes_numbers_of_is_a_vector(store: Store) -> None:
    for doc_id, vector in enumerate(VECTORS, start=1):
        store.insert(doc_id, vector)
        assert np.array_equal(stored(store, doc_id).vector, np.arange(1, 9, dtype=np.float32))  # type: ignore[arg-type]
        assert len(store.search(vector, 100, min_score=0.999)) == doc_id


def test_an_answer_is_the_callers_own(store: Store) -> None:
    store.insert(1, ONES, {"a": "x"})
    document, hit = stored(store, 1), store.search(ONES, include_vectors=True)[0]
    assert document.vector is not None
    assert hit.vector is not None
    document.vector[:] = 9
    hit.vector[:] = 9
    document.metadata["a"] = hit.metadata["a"] = "changed"
    after = stored(store, 1)
    assert after.metadata == {"a": "x"}
    assert np.array_equal(after.vector, ONES)  # type: ignore[arg-type]


def test_an_insert_replaces_the_whole_document(store: Store) -> None:
    store.insert(1, ONES, {"a": "x", "b": "y"}, "first")
    store.insert(np.int64(1), [2.0, *ONES[1:]], {"c": "z"})
    document = stored(store, 1)
    assert document.metadata == {"c": "z"}
    assert np.array_equal(document.vector, [2.0, *ONES[1:]])  # type: ignore[arg-type]
    assert store.get(1, "first") is None


VALUES: dict[str, Any] = {
    "text": "x",
    "year": 2020,
    "large": 2**64 - 1,
    "weight": 2.0,
    "share": np.float32(0.1),
    "flag": True,
    "nothing": None,
    "at": datetime(2020, 1, 31, 13, tzinfo=timezone(timedelta(hours=1))),
    "tags": ["a", 7, None],
    "author": {"name": "Ann", "born": {"year": 1970}, "$time": 1},
}
CONDITIONS: list[dict[str, Any]] = [
    {"year": 2020.0},
    {"large": {"$gt": 2**64 - 2}},
    {"weight": 2},
    {"share": {"$lte": 0.1}},
    {"flag": True},
    {"nothing": None},
    {"at": {"$gte": datetime(2020, 1, 31, 12, tzinfo=UTC)}},
    {"tags": "a"},
    {"tags": {"$contains_all": [7, None]}},
    {"author.born.year": {"$between": [1969, 1971]}},
    {"author.name": {"$prefix": "A"}},
]


def test_values_come_out_as_they_went_in_and_filters_find_them(store: Store) -> None:
    store.insert(1, ONES, VALUES)
    store.insert(2, ONES, {"year": "MMXX", "flag": "true", "tags": '["a",7,null]'})
    expected = {**VALUES, "share": 0.1, "at": datetime(2020, 1, 31, 12, tzinfo=UTC)}
    for _ in range(2):  # from the hot tier, then from a segment
        assert stored(store, 1).metadata == expected
        assert [type(value) for value in stored(store, 1).metadata.values()] == [
            type(expected[key]) for key in stored(store, 1).metadata
        ]
        assert store.search(ONES, filter={"text": "x"})[0].metadata == expected
        for condition in CONDITIONS:
            assert store.search(ONES, filter=condition).ids.tolist() == [1], condition
        assert store.search(ONES, filter={"year": "MMXX"}).ids.tolist() == [2]
        store.flush()
    assert store.update_metadata(1, {"year": None, "flag": False}, merge=True)
    assert stored(store, 1).metadata == {**expected, "year": None, "flag": False}
    assert store.delete_many(filter={"flag": False}) == 1


def test_reserved_keys_are_dropped(store: Store) -> None:
    store.insert(1, ONES, {"__namespace__": "forged", "a": "x"}, "real")
    assert stored(store, 1).metadata == {"a": "x"}
    assert store.get(1, "real") is not None
    assert store.get(1, "forged") is None


WRONG_CALLS: list[tuple[str, Callable[[Store], object]]] = [
    ("doc_id must be >= 1", lambda store: store.insert(0, ONES)),
    ("doc_id must be >= 1", lambda store: store.insert(-1, ONES)),
    ("and <= 18446744073709551615, got 18446744073709551616", lambda store: store.insert(2**64, ONES)),
    ("doc_id must be an integer, got True", lambda store: store.insert(True, ONES)),
    ("doc_id must be an integer, got str '7'", lambda store: store.insert("7", ONES)),
    ("doc_id must be an integer, got float 1.0", lambda store: store.delete(1.0)),  # type: ignore[arg-type]
    ("doc_id", lambda store: store.get(0)),
    ("doc_id", lambda store: store.update_metadata(0, {})),
    ("ids[1] must be >= 1", lambda store: store.get_many([1, 0])),
    ("ids[0] must be an integer", lambda store: store.delete_many(["a"])),
    ("ids must be a list", lambda store: store.get_many(5)),  # type: ignore[arg-type]
    ("vector cannot be empty", lambda store: store.insert(1, [])),
    ("vector must contain only finite values: component 2 is nan", lambda store: store.insert(1, NAN_AT_2)),
    ("component 0 is inf", lambda store: store.insert(1, [np.inf] * DIMENSION)),
    ("component 7 is inf; float32 holds at most 3.4028235e+38", lambda store: store.insert(1, [*ONES[1:], 1e300])),
    ("dimension 4097 exceeds maximum 4096", lambda store: store.insert(1, np.ones(4097))),
    ("dimension mismatch: expected 8 found 7", lambda store: store.insert(1, ONES[1:])),
    ("norm is zero", lambda store: store.insert(1, [0] * DIMENSION)),
    ("one dimension, got shape (1, 8)", lambda store: store.insert(1, [ONES])),
    ("one dimension, got shape ()", lambda store: store.insert(1, 5)),
    ("dtype <U1", lambda store: store.insert(1, ["1"] * DIMENSION)),
    ("dtype bool", lambda store: store.insert(1, [True] * DIMENSION)),
    ("dtype object", lambda store: store.insert(1, None)),  # type: ignore[arg-type]
    ("vector must be an array of numbers", lambda store: store.insert(1, [[1], [1, 2]])),
    ("metadata must be a dict", lambda store: store.insert(1, ONES, [("a", "x")])),  # type: ignore[arg-type]
    ("metadata.a must be text, a number, a bool, None, ", lambda store: store.insert(1, ONES, {"a": b"x"})),
    ("a dict, got set {True}", lambda store: store.update_metadata(1, {"a": {True}})),
    ("metadata.a is not text that UTF-8 can hold", lambda store: store.insert(1, ONES, {"a": "\udcff"})),
    ("text: int 5", lambda store: store.insert(1, ONES, {5: "x"})),  # type: ignore[dict-item]
    (f"the maximum is {METADATA_KEY_BYTES_MAX}", lambda store: store.insert(1, ONES, LONG_KEY)),
    (f"the maximum is {METADATA_ENTRIES_MAX}", lambda store: store.insert(1, ONES, MANY_ENTRIES)),
    ("the maximum is 1048576", lambda store: store.insert(1, ONES, {"a": "é" * (1 << 19), "b": ""})),
    (f"the maximum is {NAMESPACE_BYTES_MAX}", lambda store: store.insert(1, ONES, None, "é" * 513)),
    ("namespace must be text", lambda store: store.insert(1, ONES, None, 5)),  # type: ignore[arg-type]
    ("give ids or filter, got neither", lambda store: store.delete_many()),
    ("give ids or filter, got both", lambda store: store.delete_many([1], filter={"a": "x"})),
    ("filter names no condition", lambda store: store.delete_many(filter={})),
    ("filter names no condition", lambda store: store.delete_many(filter={"$not": {"$or": []}})),
    ("filter.a.$near", lambda store: store.delete_many(filter={"a": {"$near": 1}})),
]  # fmt: skip


def test_wrong_calls_are_refused_and_change_nothing(store: Store) -> None:
    store.insert(1, ONES, {"a": "x"})
    for words, call in WRONG_CALLS:
        with pytest.raises(InvalidArgument, match=re.escape(words)):
            call(store)
        assert stored(store, 1).metadata == {"a": "x"}, words
        assert store.stats().documents == 1, words


def test_many_documents_go_in_and_the_bad_ones_are_named(store: Store) -> None:
    good = random_vectors(2500)
    bad: dict[int, Any] = {
        3: [np.nan] * DIMENSION,
        700: ONES[1:],
        1800: [0.0] * DIMENSION,
        2400: "no vector",
    }
    report = store.insert_many(
        ((at, bad.get(at, vector), {"at": at}) for at, vector in enumerate(good, start=1)), "batch"
    )
    assert report.inserted == 2496
    assert {refusal.id: refusal.reason for refusal in report.refused} == {
        3: "vector must contain only finite values: component 0 is nan",
        700: "vector dimension mismatch: expected 8 found 7",
        1800: "vector norm is zero; cannot normalize: distance cosine needs a component other than zero",
        2400: "vector must be an array of numbers, got dtype <U9",
    }
    assert store.stats().documents == 2496
    assert store.get(3) is None
    assert stored(store, 2500).metadata == {"at": 2500}
    assert store.get(2500, "batch") is not None
    assert store.get(2500, "other") is None


def test_the_last_of_equal_ids_stays(store: Store) -> None:
    documents = [(1 + at % 3, vector, {"at": at}) for at, vector in enumerate(random_vectors(1300))]
    assert store.insert_many(documents).inserted == 1300
    assert store.stats().documents == 3
    assert [stored(store, doc_id).metadata["at"] for doc_id in (1, 2, 3)] == [1299, 1297, 1298]


def test_what_is_no_document_is_refused(store: Store) -> None:
    wrong: list[Any] = [5, None, (1,), (1, ONES, {}, "extra"), ("x", ONES), (1, ONES, "no dict")]
    report = store.insert_many([*wrong, (7, ONES)])
    assert report.inserted == 1
    assert [refusal.id for refusal in report.refused] == [None, None, None, None, "x", 1]
    assert "must be (id, vector), (id, vector, metadata), a dict or a dataclass" in report.refused[0].reason
    assert store.insert_many([]) == store.insert_many(iter(())) == type(report)(0, [])


def test_documents_that_were_looked_up_can_be_stored_again(store: Store) -> None:
    fill(store, 3)
    found = [document for document in store.get_many([1, 2, 3]) if document is not None]
    store.delete_many([1, 2, 3])
    assert store.insert_many(found).inserted == 3
    assert stored(store, 2).metadata == {"n": 2, "parity": "even"}
    bare = store.get(2, include_vector=False)
    assert bare is not None
    assert "looked up without its vector" in store.insert_many([bare, (9, ONES)]).refused[0].reason


def test_metadata_is_merged_or_replaced(store: Store) -> None:
    store.insert(1, ONES, {"a": "x", "b": "y"}, "ns")
    assert store.update_metadata(1, {"b": 2, "c": "z"}, merge=True, namespace="ns")
    assert stored(store, 1).metadata == {"a": "x", "b": 2, "c": "z"}
    assert store.update_metadata(1, {"d": "w"})
    assert stored(store, 1).metadata == {"d": "w"}
    assert store.get(1, "ns") is not None
    assert not store.update_metadata(1, {}, namespace="other")
    assert not store.update_metadata(2, {"a": "x"})
    assert stored(store, 1).metadata == {"d": "w"}


def test_a_delete_says_whether_there_was_something(store: Store) -> None:
    store.insert(1, ONES, None, "ns")
    assert not store.delete(1, "other")
    assert store.delete(1, "ns")
    assert not store.delete(1)
    assert store.get(1) is None
    assert len(store.search(ONES)) == 0


def test_many_are_deleted_by_id_or_by_filter(store: Store) -> None:
    fill(store)
    assert store.delete_many(iter([1, 2, 2, 999])) == 2
    assert store.delete_many([]) == 0
    assert store.delete_many(range(50, 12_000)) == 1
    assert store.delete_many(filter={"parity": "odd", "n": {"$lt": 10}}) == 4
    assert store.delete_many(filter={"n": {"$exists": True}}, namespace="other") == 0
    left = [doc_id for doc_id in range(1, 51) if store.get(doc_id) is not None]
    assert left == [4, 6, 8, *range(10, 50)]
