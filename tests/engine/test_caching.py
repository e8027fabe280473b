"""Cached answers against real ones: whatever is written in between, and whoever writes it."""

from __future__ import annotations

import random
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engine.cached import ask, cached_engine, many, parts, truth
from tests.engine.opening import DIMENSION, fill, put, settle, vectors
from tests.switches import frequent_switches

from pykyro.cache.entry_table import Entry
from pykyro.engine.engine import Engine
from pykyro.model import distance
from pykyro.model.filter import Exact, Filter, In, Range, matches
from pykyro.model.requests import (
    CachedKind,
    Delete,
    DeleteMatching,
    Operation,
    Put,
    SearchRequest,
    Tier,
    UpdateMetadata,
)
from pykyro.model.types import NAMESPACE_KEY, Document, Metric, Scope, Vector

FILTERS: list[Filter | None] = [
    None,
    Exact("colour", "red"),
    Range("size", "lt", "5"),
    In("colour", ("red", "blue")),
]
SCOPES = [Scope(), Scope(namespace="a"), Scope(namespace="b")]
IDS = 400


class Traffic:
    """Queries that come again, exactly or nearly, and writes among them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._normal = np.random.default_rng(seed)
        self._topics = vectors(6, seed=seed)

    def vector(self, spread: float) -> Vector:
        noise = self._normal.standard_normal(DIMENSION) * spread
        topic: Vector = self._random.choice(self._topics)
        return (topic + noise).astype(np.float32)

    def request(self) -> SearchRequest:
        return SearchRequest(
            self.vector(self._random.choice([0.0, 0.0, 0.001, 0.01, 0.05])),
            self._random.choice([3, 10]),
            filter=self._random.choice([None, *FILTERS]),
            scope=self._random.choice([Scope(), *SCOPES]),
            min_score=self._random.choice([0.0, 0.0, 0.0, 0.9]),
            include_vectors=self._random.random() < 0.5,
            include_metadata=self._random.random() < 0.8,
        )

    def operation(self) -> Operation:
        doc_id, kind = self._random.randint(1, IDS), self._random.random()
        metadata = {
            "colour": self._random.choice(["red", "blue", "green"]),
            "size": str(self._random.randint(0, 9)),
        }
        if kind < 0.5:
            if namespace := self._random.choice(["", "a", "b"]):
                metadata[NAMESPACE_KEY] = namespace
            return Put(Document(doc_id, self.vector(self._random.choice([0.01, 0.3, 1.0])), metadata))
        if kind < 0.75:
            return UpdateMetadata(doc_id, metadata, merge=self._random.random() < 0.5)
        if kind < 0.98:
            return Delete(doc_id)
        return DeleteMatching(Range("size", "lt", "1"))

    def operations(self) -> list[Operation]:
        return [self.operation() for _ in range(self._random.choice([1, 1, 1, 5]))]


@pytest.mark.parametrize(("seed", "metric"), list(enumerate(Metric)))
def test_cached_answers_equal_scans_whatever_is_written(tmp_path: Path, seed: int, metric: Metric) -> None:
    engine = cached_engine(tmp_path / "data", metric=metric)
    traffic, chance, kinds = Traffic(seed), random.Random(seed), Counter[CachedKind | None]()
    for _ in range(1500):
        happening = chance.random()
        if happening < 0.3:
            engine.commit(traffic.operations())
        elif happening < 0.305:
            engine.flush()
            settle(engine)
        request = traffic.request()
        found = engine.search(request)
        kinds[found.cached] += 1
        if found.cached is None:
            continue
        expected = truth(engine, request)
        assert parts(found) == parts(expected)
        assert (found.matched, found.position, found.exact) == (expected.matched, expected.position, True)
        assert found.tiers == {Tier.CACHE}
        assert found.margin > 0
    engine.close()
    assert kinds[CachedKind.EXACT] > 30
    assert metric is Metric.INNER_PRODUCT or kinds[CachedKind.CERTIFIED] > 30
    assert kinds[None] > 30


@pytest.mark.parametrize("metric", [Metric.COSINE, Metric.EUCLIDEAN])
def test_searches_beside_a_writer_leave_only_true_entries(tmp_path: Path, metric: Metric) -> None:
    """Readers race with a writer and with sealing; then every entry is held against the documents."""
    engine = cached_engine(tmp_path / "data", metric=metric)
    commits = engine._context.caches.commits
    stop, failures, compared = threading.Event(), list[str](), Counter[str]()

    def write() -> None:
        traffic = Traffic(1)
        for turn in range(300):
            engine.commit(traffic.operations())
            if turn % 50 == 49:
                engine.flush()
                settle(engine)
        stop.set()

    def read(seed: int) -> None:
        traffic = Traffic(1)
        traffic._random.seed(seed)
        while not stop.is_set():
            request, before = traffic.request(), commits.number
            found = engine.search(request)
            if found.cached is None:
                continue
            expected = truth(engine, request)
            if commits.number != before or before & 1:
                continue  # a write came between: the two are of different versions
            compared[str(seed)] += 1
            if parts(found) != parts(expected):
                failures.append(f"{request}: {found} instead of {expected}")

    threads = [threading.Thread(target=read, args=(seed,)) for seed in (10, 11)]
    with frequent_switches():
        for thread in threads:
            thread.start()
        write()
        for thread in threads:
            thread.join()
    assert failures == []
    assert min(compared["10"], compared["11"]) > 20
    assert check_entries(engine) > 20
    engine.close()


def check_entries(engine: Engine) -> int:
    """Hold each entry against all documents; how many there were."""
    tiers = engine._context.state.version.oldest_first
    documents = {
        int(doc_id): (tier.vector(row), tier.metadata(row))
        for tier in tiers
        for doc_id in tier.doc_ids_matching(None)
        if (row := tier.lookup(int(doc_id))) is not None
    }
    entries = engine._context.caches.queries.entries()
    for entry in entries:
        check_entry(entry, documents, engine.options.metric)
    return len(entries)


def check_entry(entry: Entry, documents: dict[int, Any], metric: Metric) -> None:
    held = entry.held.fetched()
    assert isinstance(entry.key, tuple)
    tenant, namespace, condition = entry.key[:3]
    scope = Scope(tenant, namespace)
    assert len(set(held.doc_ids.tolist())) == len(held.doc_ids)
    for at, doc_id in enumerate(held.doc_ids.tolist()):
        vector, metadata = documents[doc_id]
        assert held.vectors[at].tobytes() == vector.tobytes()
        assert held.metadata[at] == metadata.public
        assert scope.admits(metadata.whole())
        assert condition is None or matches(condition, metadata.whole())
    for doc_id, (vector, metadata) in documents.items():
        if not scope.admits(metadata.whole()):
            continue
        if condition is not None and not matches(condition, metadata.whole()):
            continue
        (similarity,) = distance.similarities(vector[np.newaxis], entry.vector, metric)
        assert similarity <= entry.unseen_bound or doc_id in held.doc_ids


@pytest.mark.parametrize("metric", list(Metric))
def test_of_a_graph_search_no_document_it_met_is_nearer_than_what_is_served(
    tmp_path: Path, metric: Metric
) -> None:
    rows = vectors(3000, seed=5)
    engine = cached_engine(tmp_path / "data", metric=metric, ef_search=40)
    fill(engine, rows)
    engine.flush()
    (segment,) = engine._context.state.version.cold
    assert segment.graph is not None
    assert segment.shape is not None
    assert segment.shape.ef
    ef = max(40, segment.shape.ef)
    noise = vectors(40, seed=7) * 0.01
    kinds = Counter[CachedKind | None]()
    for query, shift in zip(vectors(40, seed=6), noise, strict=True):
        engine.search(SearchRequest(query, 5))
        asked_graph = segment.shape.coding.coded(distance.Query(query, metric))
        met = segment.graph.search(asked_graph.vector, ef, ef)[0]
        for asked in (query, query + shift):
            found = engine.search(SearchRequest(asked, 5))
            kinds[found.cached] += 1
            if found.cached is not None:
                assert not found.exact
                similarities = distance.similarities(rows[met], asked, metric)
                best = np.lexsort((met, -similarities))[:5]
                assert [hit.doc_id for hit in found.hits] == (met[best] + 1).tolist()
    engine.close()
    assert kinds[CachedKind.EXACT] > 30
    assert metric is Metric.INNER_PRODUCT or kinds[CachedKind.CERTIFIED] > 10


def test_scope_filter_k_and_effort_never_cross(tmp_path: Path) -> None:
    engine = cached_engine(tmp_path / "data")
    (query,) = vectors(1, seed=9)
    many(engine)
    assert ask(engine, query).cached is None
    assert ask(engine, query).cached is CachedKind.EXACT
    others: list[dict[str, Any]] = [
        {"k": 2},
        {"k": 4},
        {"filter": Exact("colour", "red")},
        {"filter": Exact("colour", "blue")},
        {"scope": Scope(namespace="a")},
        {"scope": Scope(namespace="b")},
        {"scope": Scope(tenant=1)},
        {"scope": Scope(tenant=1, namespace="a")},
    ]
    for other in others:
        assert ask(engine, query, **other).cached is None, other
    for other in others:
        assert ask(engine, query, **other).cached is CachedKind.EXACT, other
    for past in ({"exact": True}, {"ef_search": 50}, {"ef_search": 60}):
        assert ask(engine, query, **past).cached is None, past
        assert ask(engine, query, **past).cached is None, past
    engine.ef_search = 60
    assert ask(engine, query).cached is None
    engine.close()


def test_an_acknowledged_write_is_in_the_next_cached_answer(tmp_path: Path) -> None:
    engine = cached_engine(tmp_path / "data")
    rows = many(engine)
    query = rows[7]
    before = ask(engine, query)
    engine.write(put(5000, query, colour="red"))
    after = ask(engine, query)
    assert after.cached is CachedKind.EXACT
    assert [hit.doc_id for hit in after.hits] == [8, 5000, before.hits[1].doc_id]
    engine.write(UpdateMetadata(8, {"colour": "green"}))
    changed = ask(engine, query)
    assert (changed.cached, changed.hits[0].metadata) == (CachedKind.EXACT, {"colour": "green"})
    engine.write(Delete(8))
    assert [hit.doc_id for hit in ask(engine, query).hits][:2] == [5000, before.hits[1].doc_id]
    engine.close()


def test_a_document_enters_and_leaves_a_filtered_answer_with_its_metadata(tmp_path: Path) -> None:
    engine = cached_engine(tmp_path / "data")
    rows = many(engine)
    red: dict[str, Any] = {"filter": Exact("colour", "red")}
    assert ask(engine, rows[0], **red).hits[0].doc_id != 1
    engine.write(UpdateMetadata(1, {"colour": "red"}, merge=True))
    found = ask(engine, rows[0], **red)
    assert (found.cached, found.hits[0].doc_id) == (CachedKind.EXACT, 1)
    engine.write(UpdateMetadata(1, {"colour": "blue"}, merge=True))
    found = ask(engine, rows[0], **red)
    assert found.hits[0].doc_id != 1
    engine.close()


def test_an_answer_survives_sealing_and_merging_of_what_it_was_found_in(tmp_path: Path) -> None:
    engine = cached_engine(tmp_path / "data")
    rows = many(engine)
    before = parts(ask(engine, rows[3]))
    engine.flush()
    fill(engine, vectors(1500, seed=8) * 0.1 + 100, first_id=2000)
    engine.flush()
    settle(engine)
    assert engine.stats().segments == 1
    after = ask(engine, rows[3])
    assert (after.cached, parts(after)) == (CachedKind.EXACT, before)
    engine.close()
