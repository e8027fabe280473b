"""Metrics, health and usage of a server with many collections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.crash.clock import FakeClock
from tests.database.opening import SMALL, opened, shut, store
from tests.patience import wait_until

from pykyro.config import Settings
from pykyro.database.collections import Collections
from pykyro.database.counts import Counts, KnownCounts
from pykyro.model.requests import Put
from pykyro.model.types import Document, Scope
from pykyro.service.measurements import OTHERS, families
from pykyro.service.server_state import ServerState
from pykyro.service.usage_reporter import UsageReporter
from pykyro.storage import filename


@pytest.fixture
def collections(tmp_path: Path) -> Iterator[Collections]:
    made = opened(tmp_path, idle_s=3600)
    yield made
    shut(made)


def measured(server_state: ServerState, name: str) -> dict[tuple[str, ...], object]:
    (family,) = [family for family in families(server_state) if family.metric.name == name]
    return dict(family.samples)


def test_the_largest_are_named_and_the_others_counted_together(collections: Collections) -> None:
    for number in range(25):
        collections.create(f"c{number:02}", SMALL)
        store(collections, f"c{number:02}", *range(1, number + 2))
    server_state = ServerState(Settings())
    server_state.opened(collections.default_engine, 0.0, collections)
    documents = measured(server_state, "kyrodb_collection_documents")
    assert len(documents) == 21
    assert documents["c24",] == 25
    assert documents[OTHERS,] == sum(range(1, 6))
    assert measured(server_state, "kyrodb_collections") == {(): 26}
    assert measured(server_state, "kyrodb_collections_open") == {(): 26}
    assert measured(server_state, "kyrodb_collections_opened_total") == {(): 25}


def test_a_collection_that_cannot_be_opened_shows_in_health(tmp_path: Path, collections: Collections) -> None:
    collections.create("broken", SMALL)
    server_state = ServerState(Settings())
    server_state.opened(collections.default_engine, 0.0, collections)
    (tmp_path / filename.COLLECTIONS / "1" / filename.MANIFEST).unlink()
    assert server_state.counts is not None
    server_state.counts.count_the_rest()
    warnings = server_state.findings(server_state.stats()).warnings
    assert any("collection 'broken'" in warning and "missing" in warning for warning in warnings)
    assert measured(server_state, "kyrodb_collections_in_trouble") == {(): 1}


def test_usage_of_a_tenant_is_that_of_all_collections_open_or_not(tmp_path: Path) -> None:
    collections = opened(tmp_path, idle_s=0.0)
    collections.create("texts", SMALL)
    for name, count in (("default", 2), ("texts", 3)):
        with collections.using(name) as engine:
            tenant = engine.tenant_indices(["acme"])["acme"]
            own = Scope(tenant).constraints
            for doc_id in range(1, count + 1):
                engine.write(Put(Document(doc_id, np.full(4, doc_id, np.float32), own, tenant)))
    shut(collections)
    again = opened(tmp_path, idle_s=0.0)
    counts = KnownCounts(again)
    assert counts.by_name() == {}
    counts.count_the_rest()
    wait_until(lambda: not again.open.engines())
    assert counts.by_name() == {"texts": Counts(3, 4, {"acme": 3})}
    report = UsageReporter(again.default_engine, counts).report("acme")
    assert report["totals"] == {
        "query_count": 0,
        "vector_count": 5,
        "storage_bytes": 5 * 4 * 4,
        "billable_events": 0,
    }
    again.drop("texts")
    assert counts.by_name() == {}
    shut(again)


def test_what_goes_in_collections_is_counted_also_where_one_is_closed(tmp_path: Path) -> None:
    clock = FakeClock(tick_us=0)
    collections = opened(tmp_path, clock=clock)
    server_state = ServerState(Settings())
    server_state.opened(collections.default_engine, 0.0, collections)
    for name in ("closed", "open"):
        collections.create(name, replace(SMALL, default_ttl_us=5_000_000))
        store(collections, name, 1, 2)
    collections.open.close_idle(collections.open._slots[1])
    counts = server_state.counts
    assert counts is not None
    clock.advance(5)
    info = next(info for info in collections.list() if info.name == "closed")
    assert (info.is_open, info.documents) == (False, None)
    counts.count_again()
    assert {name: one.documents for name, one in counts.by_name().items()} == {"closed": 0, "open": 0}
    assert measured(server_state, "kyrodb_documents_expired_total") == {(): 4}
    collections.open.close_idle(collections.open._slots[1])
    assert collections.open.expired == 4
    assert collections.describe("closed").documents == 0
    shut(collections)
