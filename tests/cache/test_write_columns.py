"""Which entries a commit touches: none may be overlooked."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cache.holding import DIMENSION, Rig, documents, rows, search

from pykyro.cache.documents import HeldDocuments
from pykyro.cache.entry_table import Entry
from pykyro.cache.write_columns import WriteColumns
from pykyro.model import distance
from pykyro.model.types import Metric, Vector


def entry(vector: Vector, unseen_bound: float, ids: range) -> Entry:
    held = documents(ids.start, rows(len(ids)))
    return Entry(0, "key", vector.tobytes(), HeldDocuments.of(held), unseen_bound, 0.0, True, 1000)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e18, 1e30])
@pytest.mark.parametrize("metric", list(Metric))
def test_every_document_that_may_join_is_named(metric: Metric, scale: float) -> None:
    columns = WriteColumns(DIMENSION, metric)
    queries = (rows(100, 1) * np.float32(scale)).astype(np.float32)
    arriving = (rows(600, 2) * np.float32(scale)).astype(np.float32)
    entries = []
    for query in queries:
        similarities = distance.similarities(arriving, query, metric)
        entries.append(entry(query, float(np.sort(similarities)[-20]), range(1, 2)))
    columns.catch_up(range(len(entries)), entries)
    named = set(columns.joinable(distance.index_form(arriving, metric)))
    expected = {
        (slot, int(row))
        for slot, one in enumerate(entries)
        for row in np.flatnonzero(distance.similarities(arriving, one.vector, metric) > one.unseen_bound)
    }
    assert len(expected) == 1900
    assert named >= expected
    if scale == 1.0:
        assert len(named) < 2 * len(expected)


def test_holders_are_found_whatever_came_and_went() -> None:
    columns, chance = WriteColumns(DIMENSION, Metric.COSINE), np.random.default_rng(3)
    held: dict[int, range] = {}
    for _ in range(400):
        slot = int(chance.integers(40))
        if chance.random() < 0.3:
            held.pop(slot, None)
            columns.catch_up([slot], [None] * 40)
        else:
            start = int(chance.integers(1, 5000))
            held[slot] = range(start, start + int(chance.integers(1, 200)))
            columns.catch_up([slot], [entry(rows(1)[0], 0.5, held[slot])] * 40)
        wanted = chance.integers(1, 5200, int(chance.integers(1, 40))).astype(np.uint64)
        expected = {slot for slot, ids in held.items() if any(int(one) in ids for one in wanted)}
        assert columns.holding(wanted) == expected


def test_an_empty_slot_takes_no_document() -> None:
    columns = WriteColumns(DIMENSION, Metric.EUCLIDEAN)
    one: Entry = entry(rows(1)[0], -1e9, range(1, 5))
    columns.catch_up([3], [one] * 4)
    columns.catch_up([3, 70], [None if slot == 3 else one for slot in range(71)])
    assert set(columns.joinable(rows(2))) == {(70, 0), (70, 1)}


def test_entries_of_many_keys_and_sizes_stay_true_under_many_writes() -> None:
    """Against a plain model: an entry is all documents above its bound, at any time."""
    chance = np.random.default_rng(5)
    rig = Rig(Metric.EUCLIDEAN, capacity=40)
    model = {int(i): row for i, row in enumerate(rows(300, 4), start=1)}
    for turn in range(300):
        query = rows(1, int(chance.integers(60)))[0]
        key = int(chance.integers(3))
        ids = np.array(list(model), np.uint64)
        stacked = np.array(list(model.values()), np.float32)
        if rig.ask(query, key=key) is None:
            held = documents(1, stacked)
            held.doc_ids[:] = ids
            rig.cache.offer(rig.lookup(query, key), search(query, held, 30, rig.metric))
        gone = chance.choice(ids, 3, replace=False).tolist() if len(model) > 100 else []
        for doc_id in gone:
            del model[doc_id]
        new = rows(int(chance.integers(1, 5)), 1000 + turn)
        arriving = documents(1000 + 10 * turn, new)
        model.update(zip(arriving.doc_ids.tolist(), new, strict=True))
        rig.commit(gone, arriving)
        for one in rig.cache.entries():
            similarities = distance.similarities(np.array(list(model.values())), one.vector, rig.metric)
            inside = {
                doc_id for doc_id, value in zip(model, similarities.tolist()) if value > one.unseen_bound
            }
            ours = set(one.held.fetched().doc_ids.tolist())
            assert inside <= ours <= set(model)
