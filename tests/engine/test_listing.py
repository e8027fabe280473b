"""Counts, pages and samples against a plain dict of the same documents, wherever the engine has them."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.opening import fill, open_small, put, settle, vectors

from pykyro.engine.engine import Engine
from pykyro.model.filter import Exact, Filter, In, Not, Range, matches
from pykyro.model.listing import PageRequest
from pykyro.model.requests import Delete, UpdateMetadata
from pykyro.model.types import EVERYTHING, Scope

FILTERS: tuple[Filter | None, ...] = (
    None,
    Exact("colour", "red"),
    Not(Exact("colour", "red")),
    In("n", ("3", "40", "77")),
    Range("n", "gte", "50"),
    Exact("colour", "of no document"),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 120)),
        st.tuples(st.just("delete"), st.integers(1, 120)),
        st.tuples(st.just("update"), st.integers(1, 120)),
        st.tuples(st.just("seal"), st.just(0)),
        st.tuples(st.just("merge"), st.just(0)),
    ),
    max_size=60,
)


def listed(engine: Engine, condition: Filter | None, limit: int, *, descending: bool) -> list[int]:
    found, after = list[int](), None
    while True:
        page = engine.listing.page(PageRequest(limit, condition, after=after, descending=descending))
        found += [document.doc_id for document in page.documents]
        assert len(page.documents) <= limit
        if page.last is None:
            return found
        after = page.last


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, limit=st.integers(1, 70), descending=st.booleans())
def test_pages_and_counts_are_those_of_a_dict(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], limit: int, descending: bool
) -> None:
    engine = open_small(tmp_path_factory.mktemp("listing") / "data", hot_rows_max=16)
    model: dict[int, dict[str, str]] = {}
    for number, (do, doc_id) in enumerate(steps):
        metadata = {"n": str(doc_id), "colour": "red" if number % 3 else "blue"}
        if do == "put":
            engine.write(put(doc_id, np.ones(8, np.float32), **metadata))
            model[doc_id] = metadata
        elif do == "delete":
            engine.write(Delete(doc_id))
            model.pop(doc_id, None)
        elif do == "update":
            engine.write(UpdateMetadata(doc_id, {"colour": "green"}, merge=True))
            if doc_id in model:
                model[doc_id] = model[doc_id] | {"colour": "green"}
        elif do == "seal":
            engine.flush()
        else:
            settle(engine)
    for condition in FILTERS:
        wanted = sorted(
            (doc_id for doc_id, one in model.items() if condition is None or matches(condition, one)),
            reverse=descending,
        )
        assert engine.listing.count(condition, EVERYTHING)[0] == len(wanted)
        assert listed(engine, condition, limit, descending=descending) == wanted
        sample = engine.listing.sample(PageRequest(limit, condition)).documents
        assert len(sample) == min(limit, len(wanted))
        assert [document.doc_id for document in sample] == sorted({document.doc_id for document in sample})
        assert {document.doc_id for document in sample} <= set(wanted)
        assert all(document.metadata == model[document.doc_id] for document in sample)
    engine.close()


def test_a_large_segment_is_gone_through_by_id_and_a_rare_value_is_not(tmp_path: Path) -> None:
    """Both ways through a segment, with documents that were deleted and replaced since."""
    engine = open_small(tmp_path / "data")
    count = 9_000
    order = np.random.default_rng(3).permutation(count) + 1
    rows = vectors(count)
    for doc_id, row in zip(order.tolist(), rows, strict=True):
        engine.write(put(doc_id, row, rare="yes" if doc_id % 1000 == 0 else "no"))
    engine.flush()
    engine.commit([Delete(doc_id) for doc_id in range(1, 200)])
    engine.write(put(5000, rows[0], rare="no"))
    rare = [doc_id for doc_id in range(1000, count + 1, 1000) if doc_id != 5000]
    assert listed(engine, Exact("rare", "yes"), 3, descending=False) == rare
    assert listed(engine, Exact("rare", "yes"), 3, descending=True) == rare[::-1]
    everything = list(range(200, count + 1))
    assert listed(engine, None, 1000, descending=False) == everything
    assert listed(engine, None, 777, descending=True) == everything[::-1]
    assert listed(engine, Exact("rare", "no"), 5000, descending=False) == [
        doc_id for doc_id in everything if doc_id not in rare
    ]
    engine.close()


def test_a_page_ends_early_when_its_documents_are_large(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    fill(engine, vectors(40), metadata={"text": "x" * 1_000_000})
    page = engine.listing.page(PageRequest(40))
    assert [document.doc_id for document in page.documents] == list(range(1, len(page.documents) + 1))
    assert len(page.documents) == 16
    assert page.last == 16
    assert listed(engine, None, 40, descending=False) == list(range(1, 41))
    engine.close()


def test_every_sample_is_as_likely_as_any_other(tmp_path: Path) -> None:
    """Over three segments and the hot tier, by a bound that one in a million runs of a right sampler breaks."""
    engine = open_small(tmp_path / "data")
    for first in (1, 11, 21, 31):
        fill(engine, vectors(10), first_id=first)
        if first < 31:
            engine.flush()
    engine.write(Delete(7))
    seen = np.zeros(41, int)
    for seed in range(1000):
        for document in engine.listing.sample(PageRequest(13), seed).documents:
            seen[document.doc_id] += 1
    assert seen[7] == 0
    present = np.delete(seen[1:], 6)
    assert present.sum() == 13_000
    assert abs(present - 1000 / 3).max() < 5.5 * np.sqrt(1000 * (1 / 3) * (2 / 3))
    engine.close()


def test_pages_show_one_position_while_documents_are_written(tmp_path: Path) -> None:
    """Two documents change places in one commit over and over: one of them is there at any position, never both."""
    engine = open_small(tmp_path / "data")
    row = vectors(1)[0]
    fill(engine, vectors(20), first_id=10)
    engine.flush()
    engine.write(put(1, row))
    stop = threading.Event()

    def swap() -> None:
        here, there = 1, 2
        while not stop.is_set():
            engine.commit([put(there, row)])
            engine.commit([Delete(here)])
            here, there = there, here

    writer = threading.Thread(target=swap)
    writer.start()
    try:
        position = 0
        for _ in range(300):
            page = engine.listing.page(PageRequest(5))
            first = [document.doc_id for document in page.documents if document.doc_id < 10]
            assert first in ([1], [2], [1, 2])
            assert page.position >= position
            position = page.position
            assert engine.listing.count(None, EVERYTHING)[0] in (21, 22)
    finally:
        stop.set()
        writer.join()
    engine.close()


def test_a_tenant_and_a_namespace_list_their_own(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    numbers = engine.tenant_indices(["acme", "globex"])
    for doc_id, row in enumerate(vectors(30), 1):
        tenant = numbers["acme" if doc_id % 2 else "globex"]
        scope = Scope(tenant, "even" if doc_id % 4 == 0 else "")
        operation = put(doc_id, row, **scope.constraints)
        operation.document.tenant = tenant
        engine.write(operation)
        if doc_id == 15:
            engine.flush()
    for name, wanted in (("acme", range(1, 31, 2)), ("globex", range(2, 31, 2))):
        scope = Scope(numbers[name])
        page = engine.listing.page(PageRequest(100, scope=scope))
        assert [document.doc_id for document in page.documents] == list(wanted)
        assert engine.listing.count(None, scope)[0] == 15
    spaced = Scope(numbers["globex"], "even")
    assert [one.doc_id for one in engine.listing.page(PageRequest(100, scope=spaced)).documents] == [
        *range(4, 31, 4)
    ]
    assert engine.listing.count(None, EVERYTHING)[0] == 0
    engine.close()
