"""Documents of several tenants, and of none, under the same ids: whatever answers, it answers for one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.opening import DIMENSION, open_small, settle, vectors

from pykyro.cache.query_cache import Mode
from pykyro.engine.engine import Engine
from pykyro.engine.options import CacheOptions
from pykyro.engine.read_path import ReadPath
from pykyro.engine.state import Version
from pykyro.engine.tiers.tier import TierRequest
from pykyro.model.filter import Exact, Not, Range
from pykyro.model.requests import (
    Ack,
    Delete,
    DeleteMany,
    DeleteMatching,
    Operation,
    Put,
    SearchRequest,
    Tier,
    UpdateMetadata,
)
from pykyro.model.types import (
    TENANT_INDEX_KEY,
    Document,
    Scope,
    key_doc_id,
    key_of,
    key_owner,
    owner_of,
    tenant_of,
)

TENANTS = (None, 1, 2)
IDS = (1, 2, 2**32 + 1, 2**32 + 2, 2**33 + 1, 2**64 - 1)
"""With what a tenant's number and an id made together when stored ids were packed."""


def opened(path: Path, *, documents_cached: int = 0, mode: Mode = Mode.CERTIFIED) -> Engine:
    cache = CacheOptions(query_mode=mode, query_capacity=200, documents_max=documents_cached)
    engine = open_small(path, cache=cache)
    engine.tenant_indices(["one", "two"])
    return engine


def document(tenant: int | None, doc_id: int, mark: int = 0) -> Document:
    rng = np.random.default_rng([mark, doc_id % 2**31, owner_of(tenant)])
    metadata = {"mark": str(mark), **Scope(tenant).constraints}
    return Document(doc_id, rng.normal(size=DIMENSION).astype(np.float32), metadata, tenant)


def fill(engine: Engine, mark: int = 0) -> dict[int, Document]:
    stored = [document(tenant, doc_id, mark) for tenant in TENANTS for doc_id in IDS]
    answers = engine.commit([Put(one) for one in stored])
    assert all(isinstance(answer, Ack) for answer in answers)
    return {one.key: one for one in stored}


def require(engine: Engine, expected: dict[int, Document]) -> None:
    """Lookups, searches and counts show exactly these documents, each to its own tenant."""
    for tenant in (*TENANTS, 3):
        own = {one.doc_id: one for one in expected.values() if one.tenant == tenant}
        request = SearchRequest(vectors(1)[0], 100, scope=Scope(tenant), include_vectors=True)
        for _ in range(2):  # the second time from the cache
            answer = engine.search(request)
            found = {hit.doc_id: hit for hit in answer.hits}
            assert found.keys() == own.keys()
            assert len(answer.hits) == answer.matched == answer.total_found == len(own)
            for doc_id, one in own.items():
                hit = found[doc_id]
                assert hit.vector is not None
                assert (hit.vector.tobytes(), hit.metadata["mark"]) == (
                    one.vector.tobytes(),
                    one.metadata["mark"],
                )
        for doc_id in IDS:
            there = engine.get(doc_id, Scope(tenant))
            assert (there is not None) == (doc_id in own)
            if there is not None:
                assert (there.doc_id, there.vector.tobytes()) == (doc_id, own[doc_id].vector.tobytes())
    assert engine.stats().documents == len(expected)
    assert engine.tenant_documents() == {
        name: sum(one.tenant == tenant for one in expected.values())
        for name, tenant in (("one", 1), ("two", 2))
    }


@given(st.none() | st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_a_key_is_of_one_tenant_and_id_alone(tenant: int | None, doc_id: int) -> None:
    key = key_of(tenant, doc_id)
    assert (tenant_of(key_owner(key)), key_doc_id(key)) == (tenant, doc_id)
    assert tenant is not None or key == doc_id


def test_a_document_stored_before_there_were_tenants_is_not_replaced_by_one(tmp_path: Path) -> None:
    engine = open_small(tmp_path)
    before = document(None, 2**32 + 7)
    engine.write(Put(before))
    engine.flush()
    engine.tenant_indices(["one", "two"])
    own = document(1, 7)
    assert engine.write(Put(own)).existed == 0
    require_both = {before.key: before, own.key: own}
    for _ in range(2):
        for one in require_both.values():
            found = engine.get(one.doc_id, Scope(one.tenant))
            assert found is not None
            assert found.vector.tobytes() == one.vector.tobytes()
        assert engine.get(2**32 + 7, Scope(1)) is None
        assert engine.get(7) is None
        engine.close()
        engine = open_small(tmp_path)
    assert engine.write(Delete(7, Scope(1))).existed == 1
    assert engine.get(2**32 + 7) is not None
    engine.close()


@pytest.mark.parametrize("documents_cached", [0, 100])
@pytest.mark.parametrize("mode", [Mode.OFF, Mode.CERTIFIED])
def test_every_write_reaches_the_document_of_its_tenant_alone(
    tmp_path: Path, documents_cached: int, mode: Mode
) -> None:
    engine = opened(tmp_path, documents_cached=documents_cached, mode=mode)
    expected = fill(engine)
    require(engine, expected)
    for step, tenant in enumerate(TENANTS, 1):
        changed = document(tenant, 2**32 + 1, step)
        assert engine.write(Put(changed)).existed == 1
        expected[changed.key] = changed
        require(engine, expected)
        assert engine.write(Delete(1, Scope(tenant))).existed == 1
        del expected[key_of(tenant, 1)]
        require(engine, expected)
        assert engine.write(DeleteMany([2, 1, 2], Scope(tenant))).existed == 1
        del expected[key_of(tenant, 2)]
        require(engine, expected)
        if step == 2:
            engine.flush()
        update = UpdateMetadata(2**64 - 1, {"mark": "updated"}, scope=Scope(tenant))
        assert engine.write(update).existed == 1
        old = expected[key_of(tenant, 2**64 - 1)]
        metadata = {"mark": "updated", **Scope(tenant).constraints}
        expected[old.key] = Document(old.doc_id, old.vector, metadata, tenant)
        require(engine, expected)
    engine.flush()
    settle(engine)
    require(engine, expected)
    for tenant in TENANTS:
        assert engine.write(DeleteMatching(Exact("mark", "0"), Scope(tenant))).existed == 2
        expected = {
            key: one for key, one in expected.items() if one.tenant != tenant or one.metadata["mark"] != "0"
        }
        require(engine, expected)
    engine.close()
    reopened = opened(tmp_path, documents_cached=documents_cached, mode=mode)
    require(reopened, expected)
    reopened.close()


def test_a_cached_document_is_its_tenants(tmp_path: Path) -> None:
    engine = opened(tmp_path, documents_cached=100)
    fill(engine)
    for tenant in TENANTS:
        assert engine.get(1, Scope(tenant)) is not None
    engine.write(Put(document(1, 1, 5)))
    tiers = []
    for tenant in TENANTS:
        found = engine.get(1, Scope(tenant))
        assert found is not None
        assert found.metadata == {"mark": "5" if tenant == 1 else "0"}
        tiers.append(found.tier)
    assert tiers == [Tier.CACHE, Tier.HOT, Tier.CACHE]
    engine.close()


def test_an_answer_that_is_cached_is_left_alone_by_the_writes_of_others(tmp_path: Path) -> None:
    engine = opened(tmp_path)
    fill(engine)
    requests = {tenant: SearchRequest(vectors(1)[0], 2, scope=Scope(tenant)) for tenant in TENANTS}
    for request in requests.values():
        engine.search(request)
    for doc_id in IDS:
        engine.write(Put(document(2, doc_id, 9)))
        engine.write(Delete(doc_id, Scope(1)))
    untouched = engine.search(requests[None])
    assert untouched.cached is not None
    assert len(untouched.hits) == 2
    assert {hit.metadata["mark"] for hit in engine.search(requests[2]).hits} == {"9"}
    assert engine.search(requests[1]).hits == []
    engine.close()


@pytest.mark.parametrize("condition", [Exact(TENANT_INDEX_KEY, "1"), Range(TENANT_INDEX_KEY, None)])
def test_without_a_tenant_no_filter_reaches_a_tenants_document(
    tmp_path: Path, condition: Exact | Range
) -> None:
    engine = opened(tmp_path)
    fill(engine)
    for sealed in (False, True):
        if sealed:
            engine.flush()
        request = SearchRequest(vectors(1)[0], 100, filter=condition)
        assert engine.search(request).hits == []
        request = SearchRequest(vectors(1)[0], 100, filter=Not(condition))
        assert len(engine.search(request).hits) == len(IDS)
        assert engine.write(DeleteMatching(condition)).existed == 0
    engine.close()


def test_the_first_document_of_a_tenant_is_not_seen_by_a_search_that_began_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first tenant appears, and stores a document, between the first step of a search and its second."""
    engine = open_small(tmp_path)
    engine.write(Put(document(None, 1)))
    searched = ReadPath._ask_tiers
    times = []

    def search(reads: ReadPath, version: Version, wanted: TierRequest) -> Any:
        times.append(wanted.filter)
        if len(times) == 1:
            assert engine.tenant_indices(["one"]) == {"one": 1}
            engine.write(Put(document(1, 2)))
        return searched(reads, version, wanted)

    monkeypatch.setattr(ReadPath, "_ask_tiers", search)
    answer = engine.search(SearchRequest(vectors(1)[0], 100, exact=True))
    assert [hit.doc_id for hit in answer.hits] == [1]
    assert times[0] is None
    assert len(times) == 2
    engine.close()


_OPERATION = st.tuples(
    st.sampled_from(("put", "put", "put", "delete", "update", "matching", "flush", "settle", "reopen")),
    st.sampled_from(TENANTS),
    st.sampled_from(IDS),
)


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(_OPERATION, max_size=30))
def test_any_history_is_that_of_a_dict_by_tenant_and_id(
    steps: list[tuple[str, int | None, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("db")
    engine, expected = opened(path, documents_cached=100), dict[int, Document]()
    for mark, (kind, tenant, doc_id) in enumerate(steps):
        key = key_of(tenant, doc_id)
        operation: Operation
        if kind == "flush":
            engine.flush()
        elif kind == "settle":
            settle(engine)
        elif kind == "reopen":
            engine.close()
            engine = opened(path, documents_cached=100)
        elif kind == "put":
            new = document(tenant, doc_id, mark)
            assert engine.write(Put(new)).existed == (key in expected)
            expected[key] = new
        elif kind == "delete":
            operation = Delete(doc_id, Scope(tenant))
            assert engine.write(operation).existed == (key in expected)
            expected.pop(key, None)
        elif kind == "update":
            operation = UpdateMetadata(doc_id, {"mark": f"u{mark}"}, scope=Scope(tenant))
            assert engine.write(operation).existed == (key in expected)
            if key in expected:
                metadata = {"mark": f"u{mark}", **Scope(tenant).constraints}
                expected[key] = Document(doc_id, expected[key].vector, metadata, tenant)
        else:
            marks = {one.metadata["mark"] for one in expected.values()}
            for chosen in sorted(marks)[:1]:
                gone = [
                    one.key
                    for one in expected.values()
                    if one.tenant == tenant and one.metadata["mark"] == chosen
                ]
                operation = DeleteMatching(Exact("mark", chosen), Scope(tenant))
                assert engine.write(operation).existed == len(gone)
                expected = {key: one for key, one in expected.items() if key not in gone}
        require(engine, expected)
    engine.close()
