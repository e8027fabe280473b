"""Whatever is written and asked, the answers are those of an engine whose documents are all here."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engine.opening import open_small
from tests.engine.remote.opening import open_remote

from pykyro.engine.engine import Engine
from pykyro.model.conditions import Terms
from pykyro.model.errors import KyroError
from pykyro.model.expiry import Expiry
from pykyro.model.filter import And, Exact, Filter, In, Not, Or, Range
from pykyro.model.listing import PageRequest
from pykyro.model.metadata_wire import text_id_in
from pykyro.model.requests import (
    Delete,
    DeleteMany,
    DeleteMatching,
    Operation,
    Put,
    PutMany,
    SearchRequest,
    UpdateMetadata,
)
from pykyro.model.typed_filter import Among, Between, Present, TextMatch
from pykyro.model.types import (
    NAMESPACE_KEY,
    TENANT_INDEX_KEY,
    TEXT_ID_KEY,
    AnyId,
    Document,
    Metric,
    Scope,
)
from pykyro.model.values import text_form
from pykyro.system.clock import SystemClock

DIMENSION = 8
FILTERS: list[Filter | None] = [
    None,
    Exact("colour", "red"),
    Range("size", "gte", "5"),
    Between("size", "i3", "f7.5"),
    Among("tags", ("tx", "ty")),
    Not(Present("tags")),
    TextMatch("name", "icontains", "straSSE"),
    And((In("colour", ("red", "blue")), Or((Exact("size", "3"), Between("size", "i6", None))))),
    Exact("colour", "none"),
]


class Clock(SystemClock):
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now_us = 1_700_000_000_000_000

    def wall_us(self) -> int:
        return self.now_us


class Pair:
    """Two engines that are told the same."""

    def __init__(self, tmp_path: Path, services: Path, *, seed: int, text: bool, metric: Metric) -> None:
        self.random = random.Random(seed)
        self.rows = np.random.default_rng(seed)
        self.clock = Clock()
        self.text = text
        options: dict[str, Any] = {
            "text_ids": text,
            "metric": metric,
            "clock": self.clock,
            "dimension": DIMENSION,
        }
        self._open: list[Callable[[], Engine]] = [
            lambda: open_small(tmp_path / "local", **options),
            lambda: open_remote(tmp_path / "remote", services, **options),
        ]
        self.engines = [opened() for opened in self._open]
        self.tenants = [None, *self.engines[0].tenant_indices(["first", "second"]).values()]
        self.engines[1].tenant_indices(["first", "second"])

    def close(self) -> None:
        for engine in self.engines:
            engine.close()

    def reopen(self) -> None:
        self.close()
        self.engines = [opened() for opened in self._open]

    def write(self, operations: list[Operation]) -> None:
        answers = [
            [
                type(answer).__name__ if isinstance(answer, KyroError) else (answer.existed, answer.lsn)
                for answer in engine.commit(operations)
            ]
            for engine in self.engines
        ]
        assert answers[0] == answers[1]

    def id(self) -> AnyId:
        number = self.random.choice([self.random.randrange(60), 2**64 - 1 - self.random.randrange(3)])
        return f"id {number}" if self.text else number

    def scope(self) -> Scope:
        return Scope(self.random.choice(self.tenants), self.random.choice(["", "", "here"]))

    def vector(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        if self.random.random() < 0.2:
            return np.full(DIMENSION, self.random.randrange(1, 3), np.float32)
        return self.rows.standard_normal(DIMENSION).astype(np.float32)

    def metadata(self) -> dict[str, str]:
        values: dict[str, Any] = {
            "colour": self.random.choice(["red", "blue", "green"]),
            "size": self.random.choice([self.random.randrange(10), str(self.random.randrange(10)), 6.5]),
            "name": self.random.choice(["Hauptstraße", "strasse", "\0odd"]),
        }
        if self.random.random() < 0.4:
            values["tags"] = self.random.choice([["x", 1], "y", {"deep": None}])
        return {key: text_form(value, key) for key, value in values.items()}

    def put(self) -> Put:
        scope, doc_id = self.scope(), self.id()
        metadata = self.metadata()
        if scope.tenant is not None:
            metadata[TENANT_INDEX_KEY] = str(scope.tenant)
        if scope.namespace:
            metadata[NAMESPACE_KEY] = scope.namespace
        if self.text:
            metadata[TEXT_ID_KEY] = str(doc_id)
        expiry = Expiry(ttl_us=self.random.randrange(1, 40)) if self.random.random() < 0.1 else None
        number = 0 if self.text else int(doc_id)
        return Put(Document(number, self.vector(), metadata, scope.tenant), expiry=expiry)

    def operation(self) -> Operation:
        kind = self.random.randrange(12)
        if kind < 5:
            return self.put()
        if kind == 5:
            return PutMany([self.put() for _ in range(3)])
        if kind == 6:
            return Delete(self.id(), self.scope())
        if kind == 7:
            return DeleteMany([self.id() for _ in range(3)], self.scope())
        if kind == 8 and self.random.random() < 0.3:
            return DeleteMatching(And((Exact("colour", "green"), Exact("size", "3"))), self.scope())
        terms = None
        if kind == 9:
            terms = Terms(if_filter=Exact("colour", "red"))
        merge = self.random.random() < 0.7
        return UpdateMetadata(self.id(), self.metadata(), merge, self.scope(), terms=terms)

    def compare(self) -> None:
        local, remote = self.engines
        assert remote.documents == local.documents
        assert remote.tenant_documents() == local.tenant_documents()
        for scope in [Scope(tenant, space) for tenant in self.tenants for space in ("", "here")]:
            for condition in FILTERS:
                assert remote.listing.count(condition, scope) == local.listing.count(condition, scope)
            self.compare_reads(scope)

    def compare_reads(self, scope: Scope) -> None:
        condition, k = self.random.choice(FILTERS), self.random.choice([1, 5, 20])
        vector, doc_id = self.vector(), self.id()
        request = SearchRequest(vector, k, filter=condition, scope=scope, exact=self.random.random() < 0.5)
        request.include_vectors = request.include_positions = True
        seen = []
        for engine in self.engines:
            result = engine.search(request)
            hits = [
                (text_id_in(hit.metadata_wire) if self.text else hit.doc_id, hit.score, hit.position)
                for hit in result.hits
            ]
            metadata = [hit.metadata_wire for hit in result.hits]
            vectors = [hit.vector.tobytes() for hit in result.hits if hit.vector is not None]
            found = engine.get(doc_id, scope)
            document = found and (found.metadata_wire, found.vector.tobytes(), found.position)
            pages = [list(self.pages(engine, scope, condition, key)) for key in ("", "size", "tags")]
            if (
                self.text
            ):  # of one value the order is that of keys, which differ from one directory to another
                pages = [sorted(page) for page in pages]
            facets = [engine.listing.facets(key, condition, scope, 5) for key in ("size", "tags", "colour")]
            seen.append((hits, metadata, vectors, result.matched, document, pages, facets))
        assert seen[1] == seen[0], (request, condition)

    def pages(self, engine: Engine, scope: Scope, condition: Filter | None, order_by: str) -> Any:
        request = PageRequest(7, condition, scope, order_by=order_by, include_vectors=True)
        while True:
            page = engine.listing.page(request)
            for one in page.documents:
                shown = text_id_in(one.metadata_wire) if self.text else one.doc_id
                yield shown, one.metadata_wire, one.vector.tobytes(), one.position
            if page.last is None:
                return
            request = replace(request, after=page.last, after_value=page.last_value)


@pytest.mark.parametrize(
    ("seed", "text", "metric"),
    [
        (1, False, Metric.COSINE),
        (2, False, Metric.EUCLIDEAN),
        (3, False, Metric.INNER_PRODUCT),
        (4, True, Metric.COSINE),
    ],
)
def test_the_answers_are_those_of_a_local_cold_tier(
    tmp_path: Path, services: Path, seed: int, text: bool, metric: Metric
) -> None:
    pair = Pair(tmp_path, services, seed=seed, text=text, metric=metric)
    for step in range(24):
        pair.write([pair.operation() for _ in range(pair.random.randrange(1, 12))])
        pair.clock.now_us += pair.random.randrange(5)
        if pair.random.random() < 0.3:
            for engine in pair.engines:
                engine.flush()
        if step % 11 == 10:
            pair.reopen()
        if step % 4 == 3:
            pair.compare()
    pair.close()
