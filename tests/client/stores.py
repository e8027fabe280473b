"""The three ways to a database behind one face, so that one test speaks to all of them."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, cast

import numpy as np

import pykyro
from pykyro.model.types import Matrix

Store: TypeAlias = pykyro.Database | pykyro.Client

DIMENSION = 8
ALL_DOCUMENTS = {"$or": [{"x": {"$exists": True}}, {"x": {"$exists": False}}]}


class Awaited:
    """An AsyncClient whose coroutines are awaited on an event loop in a thread of its own."""

    def __init__(self, make: Callable[[], pykyro.AsyncClient]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        try:
            self._client = make()
        except BaseException:
            self._end()
            raise

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if not inspect.iscoroutinefunction(method):
            return method
        return lambda *args, **kwargs: self._wait(method(*args, **kwargs))

    def collected(self, items: Any) -> list[Any]:
        """What an asynchronous iterator gives."""

        async def gather() -> list[Any]:
            return [item async for item in items]

        return self._wait(gather())  # type: ignore[no-any-return]

    def stop(self) -> None:
        """Close the client and end the thread."""
        self._wait(self._client.close())
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)


@contextlib.contextmanager
def client_of(kind: str, target: str, **options: Any) -> Iterator[pykyro.Client]:
    """A client of the server at `target`: "client" or "async"."""
    if kind == "client":
        with pykyro.Client(target, **options) as client:
            yield client
        return
    awaited = Awaited(lambda: pykyro.AsyncClient(target, **options))
    try:
        yield cast(pykyro.Client, awaited)
    finally:
        awaited.stop()


def random_vectors(count: int, *, seed: int = 0) -> Matrix:
    """Shape (count, DIMENSION), float32, no two alike."""
    return np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)


def fill(store: Store, count: int = 50) -> Matrix:
    """Documents 1 … count with the metadata {"n": id, "parity": …}; their vectors."""
    vectors = random_vectors(count)
    report = store.insert_many(
        (at + 1, vector, {"n": at + 1, "parity": "odd" if at % 2 == 0 else "even"})
        for at, vector in enumerate(vectors)
    )
    assert report == pykyro.InsertReport(count, [])
    return vectors


def ranked(vectors: Matrix, query: Any) -> list[int]:
    """Ids 1 … n by falling cosine with `query`, computed plainly."""
    wide, question = vectors.astype(np.float64), np.asarray(query, dtype=np.float64)
    cosines = wide @ question / np.linalg.norm(wide, axis=1)
    return [int(at) + 1 for at in np.argsort(-cosines, kind="stable")]
