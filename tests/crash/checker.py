"""Does an open database show exactly one state? Asked in every way a client could ask."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from tests.crash.oracle import Doc, State, in_scope
from tests.engine.words.oracle import Oracle

from pykyro.engine.engine import Engine
from pykyro.model.filter import Exact
from pykyro.model.legs import Legs
from pykyro.model.requests import SearchRequest, SearchResult
from pykyro.model.types import (
    NAMESPACE_KEY,
    RESERVED_KEYS,
    TENANT_INDEX_KEY,
    Key,
    Metric,
    Scope,
    Vector,
    key_doc_id,
    key_of,
    key_owner,
    owner_of,
)

_EVERYTHING_K = 1000


def read_state(engine: Engine) -> State:
    """Every document of the database, reserved metadata included."""
    found: State = {}
    state = engine._context.state
    for key in _all_keys(engine):
        place = state.locate(key)
        assert place is not None, f"document {key:#x} is found by a search and absent from lookup"
        found[key] = Doc.of(place.vector, place.metadata.whole())
    return found


def require_allowed(engine: Engine, allowed: Iterable[State]) -> State:
    """The state the database shows, which must be one of those allowed."""
    found = read_state(engine)
    nearest: str | None = None
    for state in allowed:
        if found == state:
            return found
        nearest = nearest or difference(found, state)
    raise AssertionError(f"recovered state is not allowed; against the acknowledged one: {nearest}")


def difference(found: State, expected: State) -> str:
    """What distinguishes two states, in a line."""
    lost = sorted(expected.keys() - found.keys())
    extra = sorted(found.keys() - expected.keys())
    changed = sorted(i for i in expected.keys() & found.keys() if expected[i] != found[i])
    return f"lost {lost}, came from nowhere {extra}, different {changed}"


def check_reads(engine: Engine, state: State, seed: int) -> None:
    """Lookups, counts, scopes, and exact searches against a flat scan of the dict."""
    rng = random.Random(seed)
    assert engine.stats().documents == len(state)
    for key, doc in state.items():
        _check_lookup(engine, state, key, doc)
    _check_counts(engine, state)
    _check_search(engine, state, _query(engine, rng), scope=Scope(), condition=None)
    scopes = [Scope(tenant=0), Scope(tenant=1), Scope(namespace="n1"), Scope(tenant=1, namespace="n1")]
    _check_search(engine, state, _query(engine, rng), scope=rng.choice(scopes), condition=None)
    condition = Exact("colour", rng.choice(("red", "green", "blue")))
    _check_search(
        engine, state, _query(engine, rng), scope=rng.choice([Scope(), *scopes]), condition=condition
    )
    if engine.options.words is not None:
        _check_words(engine, state, rng.choice([Scope(), *scopes]), rng)


def _check_words(engine: Engine, state: State, scope: Scope, rng: random.Random) -> None:
    """A search by words against the definition; statistics are of the tenant, whatever the namespace."""
    assert engine.options.words is not None
    own = {key_doc_id(key): doc for key, doc in state.items() if in_scope(doc, Scope(tenant=scope.tenant))}
    among = [doc_id for doc_id, doc in own.items() if in_scope(doc, scope)]
    query = rng.choice(("red long", "green", "long -blue", '"long long"', "b* +long", "red green blue"))
    expected = Oracle(engine.options.words).best(
        {doc_id: dict(doc.metadata) for doc_id, doc in own.items()}, query, 5, among
    )
    answer = engine.search(SearchRequest(_query(engine, rng), 5, scope=scope, legs=Legs(query)))
    found = [(hit.doc_id, hit.score) for hit in answer.hits]
    assert found == expected, f"{query} in {scope} finds {found}, by the definition {expected}"


def _check_counts(engine: Engine, state: State) -> None:
    numbers = engine._context.manifests.current.tenants
    owners = Counter(key_owner(key) for key in state)
    assert engine.tenant_documents() == {name: owners[owner_of(index)] for name, index in numbers.items()}


def _check_lookup(engine: Engine, state: State, key: Key, doc: Doc) -> None:
    doc_id = key_doc_id(key)
    entries = dict(doc.metadata)
    public = {key: value for key, value in entries.items() if key not in RESERVED_KEYS}
    tenant = entries.get(TENANT_INDEX_KEY)
    own = Scope(None if tenant is None else int(tenant), entries.get(NAMESPACE_KEY, ""))
    found = engine.get(doc_id, own)
    assert found is not None, f"document {doc_id} is not in its own scope"
    assert (found.vector.tobytes(), found.metadata) == (doc.vector, public), f"document {doc_id}"
    assert key == key_of(own.tenant, doc_id), f"document {doc_id} of tenant {tenant} is kept as {key:#x}"
    for other in {None, 0, 1, 77} - {own.tenant}:
        there = engine.get(doc_id, Scope(tenant=other))
        expected = key_of(other, doc_id) in state
        assert (there is not None) == expected, f"document {doc_id} of {tenant} as tenant {other} sees it"


def _check_search(
    engine: Engine, state: State, query: Vector, *, scope: Scope, condition: Exact | None
) -> None:
    matching = {
        key_doc_id(key): doc
        for key, doc in state.items()
        if in_scope(doc, scope) and (condition is None or (condition.key, condition.value) in doc.metadata)
    }
    k = 5
    request = SearchRequest(query, k, filter=condition, scope=scope, exact=True, include_vectors=True)
    answer = engine.search(request)
    assert answer.complete
    assert answer.matched == len(matching), f"{answer.matched} matched, expected {len(matching)}"
    _check_hits(answer, matching, min(k, len(matching)))
    _check_hits(engine.search(replace(request, exact=False)), matching, min(k, len(matching)))
    got = [_rank(engine.options.metric, hit.doc_id, matching[hit.doc_id], query) for hit in answer.hits]
    want = sorted(_rank(engine.options.metric, doc_id, doc, query) for doc_id, doc in matching.items())[:k]
    assert got == want, f"exact search gives {got}, a flat scan {want}"


def _check_hits(answer: SearchResult, matching: State, wanted: int) -> None:
    """Whatever the way it was found: enough hits, each once, of this scope and filter, with its own vector."""
    ids = [hit.doc_id for hit in answer.hits]
    assert len(ids) == len(set(ids)) == wanted, f"hits {ids}, expected {wanted} of {sorted(matching)}"
    for hit in answer.hits:
        assert hit.doc_id in matching, f"document {hit.doc_id} does not match scope and filter"
        assert hit.vector is not None
        assert hit.vector.tobytes() == matching[hit.doc_id].vector, f"vector of document {hit.doc_id}"


def _rank(metric: Metric, doc_id: int, doc: Doc, query: Vector) -> tuple[float, int]:
    """What a hit is ordered by. Components are small whole numbers, so sums are exact in any order."""
    row, wide = doc.array.astype(np.float64), query.astype(np.float64)
    if metric is Metric.EUCLIDEAN:
        return float(((row - wide) ** 2).sum()), doc_id
    product = float((row * wide).sum())
    if metric is Metric.INNER_PRODUCT:
        return -product, doc_id
    # Equal cosines may differ in the last bit of a quotient, so their order by id is not asked for.
    return -round(product / float(np.sqrt((row**2).sum() * (wide**2).sum())), 9), 0


def _query(engine: Engine, rng: random.Random) -> Vector:
    return np.array([rng.randint(1, 9) for _ in range(engine.options.dimension)], dtype=np.float32)


def _all_keys(engine: Engine) -> list[Key]:
    ones = np.ones(engine.options.dimension, dtype=np.float32)
    keys = []
    for tenant in (None, *engine._context.manifests.current.tenants.values()):
        answer = engine.search(SearchRequest(ones, _EVERYTHING_K, scope=Scope(tenant), exact=True))
        ids = [hit.doc_id for hit in answer.hits]
        assert len(ids) == len(set(ids)), f"a document stands twice in an answer: {ids}"
        assert len(ids) < _EVERYTHING_K, "too many documents for the checker"
        keys += [key_of(tenant, doc_id) for doc_id in ids]
    return keys
