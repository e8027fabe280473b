"""An `insert_many` never stores nothing in silence, and one bad document never takes the others along."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from tests.client.stores import ALL_DOCUMENTS, DIMENSION, Store, client_of
from tests.server.running import RunningServer, running_server

from pykyro import InvalidArgument, ResourceExhausted, StoredDocument

ONES = [1.0] * DIMENSION


class Frame:
    """What a data frame looks like from here: iterating it gives the names of its columns."""

    columns = ("id", "vector")

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def itertuples(self) -> Iterator[tuple[int, Any]]:
        return iter([(1, ONES)])


class PlainTable:
    """The same without anything to tell it by."""

    def __iter__(self) -> Iterator[str]:
        return iter(("id", "vector"))


async def gathered_later() -> Any:
    yield 1, ONES


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "data frame": (Frame, r"zip\(ids, vectors\)"),
    "table": (PlainTable, "got str 'id'"),
    "dicts": (lambda: [{"id": 1, "embedding": ONES}], "vector is missing among id, embedding"),
    "one as a dict": (lambda: {"id": 1, "vector": ONES}, "put it in a list"),
    "swapped": (lambda: [(ONES, 1)], "doc_id must be an integer, got list"),
    "swapped arrays": (lambda: [(np.ones(DIMENSION), 1)], "doc_id must be an integer, got ndarray"),
    "a dict": (lambda: {1: ONES}, r"documents.items\(\)"),
    "text": (lambda: "documents", "got str 'documents'"),
    "bytes": (lambda: b"documents", "got bytes"),
    "None": (lambda: None, "got NoneType None"),
    "a number": (lambda: 5, "got int 5"),
    "one document": (lambda: (1, ONES), "put it in a list"),
    "one with metadata": (lambda: (1, ONES, {"a": "x"}), "put it in a list"),
    "one as a list": (lambda: [1, np.ones(DIMENSION)], "put it in a list"),
    "one looked up": (
        lambda: StoredDocument(1, np.ones(DIMENSION, np.float32), {}, None),
        "put it in a list",
    ),
    "matrix": (lambda: np.ones((3, DIMENSION)), r"zip\(ids, vectors\)"),
    "vectors": (lambda: [ONES, ONES], "a document must be"),
    "ids and matrix": (lambda: (np.arange(1, 4), np.ones((3, DIMENSION))), "a document must be"),
    "asynchronous": (gathered_later, "async for"),
    "generator of dicts": (lambda: ({"id": at} for at in range(3)), "none of the 3 documents"),
    "four of each": (lambda: [(1, ONES, {}, "ns")] * 2, "none of the 2 documents"),
    "wrong dimension": (lambda: [(1, ONES[1:])], "expected 8 found 7"),
}


@pytest.mark.parametrize("name", WRONG)
def test_documents_of_the_wrong_shape_are_an_error(store: Store, name: str) -> None:
    made, words = WRONG[name]
    with pytest.raises(InvalidArgument, match=words) as caught:
        store.insert_many(made())
    assert "documents must be an iterable of (id, vector) or (id, vector, metadata)" in str(caught.value)
    assert store.stats().documents == 0


@pytest.mark.parametrize(
    "nothing", [[], (), iter(()), {}.items(), zip([], [])], ids=["list", "tuple", "iter", "items", "zip"]
)
def test_no_documents_are_no_error(store: Store, nothing: Any) -> None:
    assert (store.insert_many(nothing).inserted, store.insert_many(nothing).refused) == (0, [])


def raising(error: BaseException) -> Any:
    """A vector that cannot be read."""

    class Raising:
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
            raise error

    return Raising()


class Unreadable(Mapping[str, str]):
    """A dict of somebody's own whose store is gone."""

    def __getitem__(self, key: str) -> str:
        raise ConnectionError("the other database is gone")

    def __iter__(self) -> Iterator[str]:
        yield "a"

    def __len__(self) -> int:
        return 1


class NoIndex:
    def __index__(self) -> int:
        raise RuntimeError("not loaded")


def _masked(mask: int) -> Any:
    values = np.ma.ones(DIMENSION)
    values[mask] = np.ma.masked
    return values


class Wrapping:
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return _masked(2)


BAD_VECTORS: dict[str, tuple[Any, str]] = {
    "masked": (_masked(3), "1 masked values of 8"),
    "masked below": (Wrapping(), "1 masked values of 8"),
    "objects": (np.array(ONES, dtype=object), "got dtype object"),
    "complex": (np.ones(DIMENSION, complex), "got dtype complex128"),
    "bool": (np.ones(DIMENSION, bool), "got dtype bool"),
    "text": (["1"] * DIMENSION, "got dtype <U1"),
    "words": ("12345678", "got dtype <U8"),
    "bytes": (b"12345678", "got dtype"),
    "dates": (np.zeros(DIMENSION, "M8[s]"), "got dtype datetime64"),
    "None inside": ([None, *ONES[1:]], "got dtype object"),
    "NaN inside": ([float("nan"), *ONES[1:]], "finite"),
    "None": (None, "got dtype object|give a vector"),
    "a dict": ({"a": 1}, "got dtype object"),
    "a generator": ((one for one in ONES), "got dtype object"),
    "ragged": ([[1.0], [1.0, 2.0]], "must be an array of numbers"),
    "two dimensions": ([ONES], r"got shape \(1, 8\)"),
    "too large": ([1e39, *ONES[1:]], "finite"),
    "an error": (raising(RuntimeError("call detach() first")), r"RuntimeError: call detach\(\) first"),
    "an index error": (raising(IndexError("row 7")), "IndexError: row 7"),
    "no memory": (raising(MemoryError()), "MemoryError"),
    "no more": (raising(StopIteration()), "StopIteration"),
}


@pytest.mark.parametrize("name", BAD_VECTORS)
def test_a_bad_vector_is_refused_and_the_others_go_in(store: Store, name: str) -> None:
    bad, words = BAD_VECTORS[name]
    report = store.insert_many([(1, ONES), (2, bad), (3, ONES)])
    assert (report.inserted, [refusal.id for refusal in report.refused]) == (2, [2])
    assert re.search(words, report.refused[0].reason), report.refused[0].reason
    for call in (lambda: store.insert(9, bad), lambda: store.search(bad), lambda: store.search_many([bad])):
        with pytest.raises(InvalidArgument, match=words):
            call()
    assert [document is not None for document in store.get_many([1, 2, 3, 9])] == [True, False, True, False]


BAD_IDS: dict[str, tuple[Any, str]] = {
    "bool": (True, "got True"),
    "numpy bool": (np.True_, "got True"),
    "float": (7.0, "got float 7.0"),
    "numpy float": (np.float64(7), "got float64"),
    "text": ("7", "got str '7'"),
    "None": (None, "got NoneType"),
    "zero": (0, ">= 1"),
    "negative": (-1, "got -1"),
    "too large": (2**64, "got 18446744073709551616"),
    "masked": (np.ma.array(5, mask=True), "must be an integer"),
    "raising": (NoIndex(), "RuntimeError: not loaded"),
}


@pytest.mark.parametrize("name", BAD_IDS)
def test_a_bad_id_is_refused_and_the_others_go_in(store: Store, name: str) -> None:
    bad, words = BAD_IDS[name]
    report = store.insert_many([(1, ONES), (bad, ONES), (3, ONES)])
    assert (report.inserted, len(report.refused)) == (2, 1)
    assert re.search(words, report.refused[0].reason), report.refused[0].reason
    for call in (lambda: store.insert(bad, ONES), lambda: store.get(bad), lambda: store.delete_many([bad])):
        with pytest.raises(InvalidArgument, match=words):
            call()


BAD_METADATA: dict[str, tuple[Any, str]] = {
    "pairs": ([("a", "x")], "must be a dict, got list"),
    "text": ("a", "must be a dict, got str"),
    "key": ({5: "x"}, "key that is not text: int 5"),
    "bytes": ({"a": b"x"}, "metadata.a must be text, a number, .* got bytes"),
    "naive": ({"a": datetime(2020, 1, 1)}, "metadata.a is a datetime without a time zone"),
    "in a list": ({"a": [1, {"b": {2}}]}, r"metadata.a\[1\].b must be text, .* got set"),
    "array": ({"a": np.ones((3, 1))}, "metadata.a must be an array of one dimension"),
    "NaN": ({"a": float("nan")}, "metadata.a must not be NaN"),
    "too large": ({"a": 2**64}, "metadata.a must be from -2.*65 bits"),
    "unreadable": (Unreadable(), "ConnectionError: the other database is gone"),
}


@pytest.mark.parametrize("name", BAD_METADATA)
def test_bad_metadata_is_refused_and_the_others_go_in(store: Store, name: str) -> None:
    bad, words = BAD_METADATA[name]
    report = store.insert_many([(1, ONES, {"a": "x"}), (2, ONES, bad), (3, ONES, None)])
    assert (report.inserted, [refusal.id for refusal in report.refused]) == (2, [2])
    assert re.search(words, report.refused[0].reason), report.refused[0].reason
    with pytest.raises(InvalidArgument, match=words):
        store.insert(2, ONES, bad)


def test_good_values_of_any_kind_go_in(store: Store) -> None:
    good: list[Any] = [
        (np.int64(1), tuple(ONES), MappingProxyType({"a": np.float32(0.1), "b": np.int8(3)})),
        [np.uint64(2**64 - 1), np.ones(DIMENSION, np.float16), {"a": 0.1}],
        (np.array(3), np.ma.ones(DIMENSION), {}),
    ]
    report = store.insert_many(good)
    assert (report.inserted, report.refused) == (3, [])
    assert store.get(1).metadata == {"a": 0.1, "b": 3}  # type: ignore[union-attr]


def test_what_a_value_raised_is_the_cause(store: Store) -> None:
    error = RuntimeError("call detach() first")
    with pytest.raises(InvalidArgument, match="vector must be an array of numbers") as caught:
        store.insert(1, raising(error))
    assert caught.value.__cause__ is error


def test_an_interrupt_is_no_refusal(store: Store) -> None:
    store.insert_many([(1, ONES)])
    with pytest.raises(BaseException, match="from the keyboard") as caught:
        store.insert_many([(2, ONES), (3, raising(_Interrupt("from the keyboard")))])
    assert isinstance(caught.value, _Interrupt)
    store.insert(4, ONES)


class _Interrupt(BaseException):
    """As KeyboardInterrupt is, which a test runner would take for its own."""


def test_the_error_names_what_was_refused(store: Store) -> None:
    with pytest.raises(InvalidArgument) as caught:
        store.insert_many((at, ONES[1:]) for at in range(1, 30))
    assert "none of the 29 documents is stored" in str(caught.value)
    notes = caught.value.__notes__
    assert len(notes) == 10
    assert notes[4].startswith("refused: id int 5: vector dimension mismatch")


def test_a_source_that_fails_says_how_many_are_stored(store: Store) -> None:
    def documents() -> Iterator[tuple[int, Any]]:
        for at in range(1, 1201):
            yield at, ONES
        raise ConnectionError("the source is gone")

    with pytest.raises(ConnectionError) as caught:
        store.insert_many(documents())
    stored = store.stats().documents
    assert stored >= 1000
    assert f"{stored} documents of this insert_many are stored" in caught.value.__notes__[0]


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with room for sixty documents."""
    with running_server(
        tmp_path_factory.mktemp("small"), hnsw__dimension=DIMENSION, hnsw__max_elements=60
    ) as running:
        yield running


def _counted(server: RunningServer) -> tuple[int, int]:
    """Documents presented, and refused, as the metrics have it."""
    samples = dict(
        line.rsplit(" ", 1) for line in server.http("/metrics").text.splitlines() if not line.startswith("#")
    )
    return int(float(samples["kyrodb_inserts_total"])), int(float(samples["kyrodb_inserts_failed"]))


@pytest.mark.parametrize("kind", ["client", "async"])
def test_a_document_is_sent_once(small_server: RunningServer, kind: str) -> None:
    with client_of(kind, f"127.0.0.1:{small_server.port}") as client:
        client.delete_many(filter=ALL_DOCUMENTS)
        before = _counted(small_server)
        # Every seventh is new once the server is full, and so refused; the others replace.
        ids = [at if at % 7 else 1000 + at for at in range(1, 71)]
        client.insert_many((at, ONES) for at in range(1, 61))
        report = client.insert_many((doc_id, ONES, {"n": doc_id}) for doc_id in ids)
        refused = [doc_id for doc_id in ids if doc_id > 60]
        assert report.inserted == 70 - len(refused)
        assert [refusal.id for refusal in report.refused] == refused
        assert all(refusal.reason.startswith("HNSW index full") for refusal in report.refused)
        after = _counted(small_server)
        assert (after[0] - before[0], after[1] - before[1]) == (60 + 70, len(refused))
        with pytest.raises(ResourceExhausted, match="HNSW index full"):
            client.insert_many((2000 + at, ONES) for at in range(5))
        assert _counted(small_server)[0] - after[0] == 5
