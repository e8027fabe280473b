"""Writers against a real server over gRPC, and what must be there afterwards.

Each writer has documents of its own, so what it must find is a dict of its own. A call that was not answered with
success is in doubt until the next success for the same document or the next look after a restart.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc
from tests.patience import PATIENCE_S
from tests.server.running import RunningServer

from pykyro.proto import kyrodb_pb2 as pb

DIMENSION = 16
Value: TypeAlias = tuple[tuple[float, ...], tuple[tuple[str, str], ...]] | None
"""A document's vector and metadata; None when it is absent."""

SETTINGS: dict[str, Any] = {
    "hnsw__dimension": DIMENSION,
    "hnsw__distance": "euclidean",
    "persistence__snapshot_interval_mutations": 300,
    "persistence__max_wal_size_bytes": 60_000,
    "persistence__wal_breaker_cooldown_secs": 1,
}
"""Small bounds, so that sealing, merging and rotation happen all the time."""


@dataclass(slots=True)
class Writer:
    """One thread's documents: every value each may have, the last of several being the newest attempt."""

    number: int
    random: random.Random
    possible: dict[int, list[Value]] = field(default_factory=dict)
    serial: int = 0
    acknowledged: int = 0
    failed: int = 0
    doubting: bool = False
    """Whether an answer from now on proves nothing."""

    def step(self, stub: Any) -> None:
        doc_id = self.random.choice(list(self.possible))
        self.serial += 1
        known = self.possible[doc_id]
        kind = self.random.random()
        if kind < 0.25:
            self._attempt(doc_id, None, lambda: stub.Delete(pb.DeleteRequest(doc_id=doc_id), timeout=10))
        elif kind < 0.5 and len(known) == 1 and known[0] is not None:
            metadata = {"serial": str(self.serial), "text": "x" * self.random.choice((0, 700))}
            request = pb.UpdateMetadataRequest(doc_id=doc_id, metadata=metadata)
            value = (known[0][0], tuple(sorted(metadata.items())))
            self._attempt(doc_id, value, lambda: stub.UpdateMetadata(request, timeout=10))
        else:
            vector = [float(self.number + 1), float(self.serial), *[0.0] * (DIMENSION - 2)]
            metadata = {"serial": str(self.serial)}
            insert = pb.InsertRequest(doc_id=doc_id, embedding=vector, metadata=metadata)
            value = (tuple(vector), tuple(metadata.items()))
            self._attempt(doc_id, value, lambda: stub.Insert(insert, timeout=10))

    def _attempt(self, doc_id: int, value: Value, call: Any) -> None:
        self.possible[doc_id].append(value)
        try:
            answer = call()
        except grpc.RpcError:
            self.failed += 1
            time.sleep(0.01)
            return
        if not answer.success:
            self.failed += 1
        elif not self.doubting:
            self.acknowledged += 1
            self.possible[doc_id] = [value]


class Load:
    """Several writers, started and stopped together."""

    def __init__(self, seed: int, writers: int = 4, documents_each: int = 30) -> None:
        self.writers = [Writer(number, random.Random(f"{seed}-{number}")) for number in range(writers)]
        for writer in self.writers:
            first = 1 + 1000 * writer.number
            writer.possible = {doc_id: [None] for doc_id in range(first, first + documents_each)}
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._escaped: list[BaseException] = []

    @property
    def acknowledged(self) -> int:
        return sum(writer.acknowledged for writer in self.writers)

    def has_acknowledged(self, more_than: int) -> bool:
        return self.acknowledged > more_than

    @property
    def failed(self) -> int:
        return sum(writer.failed for writer in self.writers)

    def doubt(self) -> None:
        """The power is about to go: an answer that comes later is one that a real cut would not have let out."""
        for writer in self.writers:
            writer.doubting = True

    @contextlib.contextmanager
    def running(self, server: RunningServer) -> Iterator[None]:
        """Inside, the writers write; afterwards none does, whatever happened."""
        self._start(server)
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()
        assert not self._escaped, self._escaped[0]

    def _start(self, server: RunningServer) -> None:
        self._stop.clear()
        for writer in self.writers:
            writer.doubting = False
        self._threads = [
            threading.Thread(target=self._run, args=(writer, server.stub)) for writer in self.writers
        ]
        for thread in self._threads:
            thread.start()

    def check(self, server: RunningServer) -> None:
        """Every document has a value it may have; from then on that is its value."""
        for writer in self.writers:
            ids = list(writer.possible)
            answer = server.stub.BulkQuery(
                pb.BulkQueryRequest(doc_ids=ids, include_embeddings=True), timeout=PATIENCE_S
            )
            assert len(answer.results) == len(ids)
            for doc_id, found in zip(ids, answer.results, strict=True):
                metadata = tuple(sorted(found.metadata.items()))
                value: Value = (tuple(found.embedding), metadata) if found.found else None
                possible = writer.possible[doc_id]
                assert value in possible, f"document {doc_id} is {value}, possible: {possible}"
                writer.possible[doc_id] = [value]

    def _run(self, writer: Writer, stub: Any) -> None:
        try:
            while not self._stop.is_set():
                writer.step(stub)
        except BaseException as error:
            self._escaped.append(error)


def preload(server: RunningServer, documents: int = 2600) -> None:
    """Documents enough for segments with graphs, which a build process makes and merges."""
    rng = random.Random(0)
    requests = (
        pb.InsertRequest(doc_id=100_000 + n, embedding=[rng.random() for _ in range(DIMENSION)])
        for n in range(documents)
    )
    answer = server.stub.BulkInsert(requests, timeout=60)
    assert (answer.total_inserted, answer.total_failed) == (documents, 0), answer


def check_preloaded(server: RunningServer, documents: int = 2600) -> None:
    ids = range(100_000, 100_000 + documents)
    assert server.stub.BulkQuery(pb.BulkQueryRequest(doc_ids=ids), timeout=60).total_found == documents
