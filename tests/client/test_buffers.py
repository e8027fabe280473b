"""What was checked is what is stored and asked: an array or a dict that changes later changes nothing.

Programs that read frames, files or memory maps fill one buffer again and again. Each place where an array comes in
has its test, for the embedded database and both clients alike.
"""

from __future__ import annotations

import array
import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from tests.client.stores import ALL_DOCUMENTS, DIMENSION, Store, random_vectors
from tests.server.running import RunningServer

import pykyro
from pykyro.model.filter import In
from pykyro.model.types import Vector

COUNT = 600
"""More than one group of the embedded database."""


def by_numpy(made: Callable[[int], Any]) -> Callable[[Path], tuple[Any, Callable[[Vector], None]]]:
    """A buffer of NumPy's, and what fills it."""

    def buffer(tmp_path: Path) -> tuple[Any, Callable[[Vector], None]]:
        found = made(DIMENSION)

        def fill(vector: Vector) -> None:
            found[:] = vector

        return found, fill

    return buffer


def memory_map(tmp_path: Path) -> tuple[Any, Callable[[Vector], None]]:
    mapped = np.memmap(tmp_path / "frame", np.float32, "w+", shape=(DIMENSION,))

    def fill(vector: Vector) -> None:
        mapped[:] = vector

    return mapped, fill


def of_c(tmp_path: Path) -> tuple[Any, Callable[[Vector], None]]:
    held = array.array("f", [0.0] * DIMENSION)

    def fill(vector: Vector) -> None:
        held[:] = array.array("f", vector.tobytes())

    return held, fill


def view_of_bytes(tmp_path: Path) -> tuple[Any, Callable[[Vector], None]]:
    held = bytearray(4 * DIMENSION)

    def fill(vector: Vector) -> None:
        held[:] = vector.tobytes()

    return memoryview(held).cast("f"), fill


class _Exporting:
    def __init__(self) -> None:
        self.held = np.zeros(DIMENSION, np.float32)


class ByMethod(_Exporting):
    """What tensors of other libraries look like: the same memory at each conversion."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.held


class ByInterface(_Exporting):
    @property
    def __array_interface__(self) -> Any:
        return self.held.__array_interface__


def exporting(kind: type[_Exporting]) -> Callable[[Path], tuple[Any, Callable[[Vector], None]]]:
    def buffer(tmp_path: Path) -> tuple[Any, Callable[[Vector], None]]:
        found = kind()

        def fill(vector: Vector) -> None:
            found.held[:] = vector

        return found, fill

    return buffer


BUFFERS = {
    "float32": by_numpy(lambda n: np.zeros(n, np.float32)),
    "float64": by_numpy(np.zeros),
    "big-endian": by_numpy(lambda n: np.zeros(n, ">f4")),
    "strided": by_numpy(lambda n: np.zeros(2 * n, np.float32)[::2]),
    "reversed": by_numpy(lambda n: np.zeros(n, np.float32)[::-1]),
    "column": by_numpy(lambda n: np.zeros((n, 3), np.float32)[:, 1]),
    "row": by_numpy(lambda n: np.zeros((3, n), np.float32)[1]),
    "unmasked": by_numpy(lambda n: np.ma.zeros(n, np.float32)),
    "memory map": memory_map,
    "array.array": of_c,
    "memoryview": view_of_bytes,
    "__array__": exporting(ByMethod),
    "__array_interface__": exporting(ByInterface),
}
Buffer: TypeAlias = tuple[Any, Callable[[Vector], None]]


@pytest.fixture(params=BUFFERS)
def buffer(request: pytest.FixtureRequest, tmp_path: Path) -> Buffer:
    """A buffer and what fills it."""
    return BUFFERS[request.param](tmp_path)


def stored_vectors(store: Store, count: int) -> Any:
    return np.array([document.vector for document in store.get_many(range(1, count + 1)) if document])


def test_insert_many_stores_what_each_yield_held(store: Store, buffer: Buffer) -> None:
    held, fill = buffer
    vectors = random_vectors(COUNT)

    def documents() -> Iterator[tuple[int, Any]]:
        for at, vector in enumerate(vectors, 1):
            fill(vector)
            yield at, held
        fill(np.full(DIMENSION, np.nan, np.float32))

    assert store.insert_many(documents()).inserted == COUNT
    assert stored_vectors(store, COUNT).tobytes() == vectors.tobytes()


def test_a_last_fill_of_nan_is_refused_alone(store: Store) -> None:
    held = np.zeros(DIMENSION, np.float32)
    vectors = random_vectors(6)
    vectors[5] = np.nan

    def documents() -> Iterator[tuple[int, Any]]:
        for at, vector in enumerate(vectors, 1):
            held[:] = vector
            yield at, held

    report = store.insert_many(documents())
    assert (report.inserted, [refusal.id for refusal in report.refused]) == (5, [6])
    assert stored_vectors(store, 6).tobytes() == vectors[:5].tobytes()


def test_insert_stores_what_the_call_held(store: Store, buffer: Buffer) -> None:
    held, fill = buffer
    vectors = random_vectors(3)
    for at, vector in enumerate(vectors, 1):
        fill(vector)
        store.insert(at, held)
    fill(np.zeros(DIMENSION, np.float32))
    assert stored_vectors(store, 3).tobytes() == vectors.tobytes()


def test_search_many_asks_what_each_yield_held(store: Store, buffer: Buffer) -> None:
    held, fill = buffer
    vectors = random_vectors(80)
    store.insert_many(enumerate(vectors, 1))

    def questions() -> Iterator[Any]:
        for vector in vectors:
            fill(vector)
            yield held
        fill(np.full(DIMENSION, np.nan, np.float32))

    answers = store.search_many(questions(), k=1)
    assert [answer[0].id for answer in answers] == list(range(1, 81))


def test_a_search_that_is_remembered_stays_what_was_asked(store: Store) -> None:
    vectors = random_vectors(50)
    store.insert_many(enumerate(vectors, 1))
    held = np.zeros(DIMENSION, np.float32)
    for _ in range(3):
        for at in (0, 1, 2):
            held[:] = vectors[at]
            assert store.search(held, k=1)[0].id == at + 1


def test_metadata_is_what_each_yield_held(store: Store) -> None:
    held: dict[str, Any] = {}
    ones = np.ones(DIMENSION)

    def documents() -> Iterator[tuple[int, Any, Any]]:
        for at in range(1, COUNT + 1):
            held.clear()
            held.update({"n": at, f"only {at}": "x"})
            yield at, ones, held
        held.clear()

    assert store.insert_many(documents()).inserted == COUNT
    found = store.get_many(range(1, COUNT + 1), include_vectors=False)
    assert [document and document.metadata for document in found] == [
        {"n": at, f"only {at}": "x"} for at in range(1, COUNT + 1)
    ]


def test_metadata_is_what_the_call_held(store: Store) -> None:
    held = {"a": "x"}
    store.insert(1, np.ones(DIMENSION), held)
    held["a"] = "changed"
    held["b"] = "new"
    found = store.get(1)
    assert found is not None
    assert found.metadata == {"a": "x"}
    found.metadata["a"] = "changed"
    store.update_metadata(1, held, merge=True)
    held["b"] = "again"
    assert store.get(1).metadata == {"a": "changed", "b": "new"}  # type: ignore[union-attr]


def test_what_was_looked_up_is_the_callers(store: Store) -> None:
    vector = random_vectors(1)[0]
    store.insert(1, vector, {"a": "x"})
    for _ in range(2):
        found = store.get(1)
        assert found is not None
        assert found.vector is not None
        assert (found.vector.tobytes(), found.metadata) == (vector.tobytes(), {"a": "x"})
        found.vector[:] = 0
        found.metadata["a"] = "changed"
        hit = store.search(vector, k=1, include_vectors=True)[0]
        assert hit.vector is not None
        assert (hit.vector.tobytes(), hit.metadata) == (vector.tobytes(), {"a": "x"})
        hit.vector[:] = 0
        hit.metadata["a"] = "changed"
    assert store.search(vector, k=1, filter={"a": "x"}).ids.tolist() == [1]


def test_a_filter_that_could_change_is_refused(store: Store) -> None:
    held: Any = ["x"]
    with pytest.raises(pykyro.InvalidArgument, match="filter must hold tuples, not lists"):
        store.search(np.ones(DIMENSION), filter=In("a", held))


def test_rows_of_a_matrix_that_is_filled_again(store: Store) -> None:
    blocks = [random_vectors(50, seed=seed) for seed in range(4)]
    held = np.zeros((50, DIMENSION), np.float32)

    def documents() -> Iterator[tuple[int, Any]]:
        for number, block in enumerate(blocks):
            held[:] = block
            yield from enumerate(held, 50 * number + 1)

    assert store.insert_many(documents()).inserted == 200
    assert stored_vectors(store, 200).tobytes() == np.concatenate(blocks).tobytes()


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint16, np.int64, ">i4", np.longdouble])
def test_other_numbers_come_in_as_float32(store: Store, dtype: Any) -> None:
    held = np.zeros(DIMENSION, dtype)

    def documents() -> Iterator[tuple[int, Any]]:
        for at in range(1, 21):
            held[:] = at
            held[0] = 100
            yield at, held

    assert store.insert_many(documents()).inserted == 20
    wanted = [[100.0, *[float(at)] * (DIMENSION - 1)] for at in range(1, 21)]
    assert stored_vectors(store, 20).tolist() == wanted


def test_awaited_calls_hold_what_they_were_called_with(server: RunningServer) -> None:
    vectors = random_vectors(40)

    async def run() -> None:
        async with pykyro.AsyncClient(f"127.0.0.1:{server.port}") as db:
            await db.delete_many(filter=ALL_DOCUMENTS)
            held, metadata, doc_filter = np.zeros(DIMENSION, np.float32), {"n": ""}, {"n": ""}
            writes = []
            for at, vector in enumerate(vectors, 1):
                held[:] = vector
                metadata["n"] = str(at)
                writes.append(db.insert(at, held, metadata))
            await asyncio.gather(*writes)
            tasks = []
            for at, vector in enumerate(vectors, 1):
                held[:] = vector
                doc_filter["n"] = str(at)
                tasks.append(asyncio.create_task(db.search(held, k=1, filter=doc_filter)))
            answers = await asyncio.gather(*tasks)
            held[:] = np.nan
            assert [answer.ids.tolist() for answer in answers] == [[at] for at in range(1, 41)]
            assert min(answer[0].score for answer in answers) > 0.999
            found = await db.get_many(range(1, 41))
            assert [document and document.metadata["n"] for document in found] == [
                str(at) for at in range(1, 41)
            ]

    asyncio.run(run())
