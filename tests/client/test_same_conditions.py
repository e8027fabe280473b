"""Conditions, idempotency keys and positions, alike from every store."""

from __future__ import annotations

from uuid import uuid4

import numpy as np
import pytest
from tests.client.stores import DIMENSION, Store, random_vectors

from pykyro import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, ResourceExhausted
from pykyro.model.atomic_batch import ATOMIC_BYTES_MAX

ONES = np.ones(DIMENSION, np.float32)


def position(store: Store, doc_id: int) -> int:
    document = store.get(doc_id)
    assert document is not None
    return document.position


def test_a_document_is_at_the_position_of_its_write_wherever_it_is_read(store: Store) -> None:
    store.insert(1, ONES)
    first = store.position
    store.insert(2, ONES, {"a": "b"})
    second = store.position
    assert 0 < first < second
    assert (position(store, 1), position(store, 2)) == (first, second)
    assert store.update_metadata(1, {"c": "d"}, merge=True)
    third = store.position
    store.flush()
    assert [one.position for one in store.scroll()] == [third, second]
    assert [one.position for one in store.sample(2)] == [third, second]
    assert [one.position for one in store.get_many([2, 1]) if one is not None] == [second, third]
    answer = store.search(ONES, 2, include_positions=True)
    assert [hit.position for hit in answer] == [third, second]
    assert answer.position >= third
    assert store.search(ONES, 2)[0].position == 0


def test_an_insert_can_ask_to_be_the_first(store: Store) -> None:
    store.insert(1, ONES, {"by": "me"}, if_absent=True)
    with pytest.raises(AlreadyExists, match="document 1 is there already"):
        store.insert(1, 2 * ONES, if_absent=True)
    store.delete(1)
    store.insert(1, ONES, {"by": "you"}, if_absent=True)
    assert [one.metadata for one in store.scroll()] == [{"by": "you"}]


def test_a_stale_position_changes_nothing(store: Store) -> None:
    store.insert(1, ONES, {"n": 1})
    stale = position(store, 1)
    store.insert(1, ONES, {"n": 2}, if_position=stale)
    now = position(store, 1)
    for write in (
        lambda: store.insert(1, 2 * ONES, if_position=stale),
        lambda: store.update_metadata(1, {"n": 3}, if_position=stale),
        lambda: store.delete(1, if_position=stale),
    ):
        with pytest.raises(Aborted, match=f"is at position {now}, and if_position is {stale}"):
            write()
    assert position(store, 1) == now
    assert store.update_metadata(1, {"n": 3}, if_position=now)
    assert store.delete(1, if_position=position(store, 1))
    with pytest.raises(Aborted, match="document 1 is not there"):
        store.insert(1, ONES, if_position=now)
    assert store.count() == 0


def test_a_filter_is_asked_of_the_stored_document(store: Store) -> None:
    store.insert(1, ONES, {"state": "new", "n": 7})
    with pytest.raises(Aborted, match="document 1 does not match if_filter"):
        store.update_metadata(1, {"state": "done"}, if_filter={"state": "taken"})
    assert store.update_metadata(1, {"state": "taken", "n": 7}, if_filter={"state": "new", "n": {"$gt": 6}})
    with pytest.raises(Aborted):
        store.delete(1, if_filter={"state": "new"})
    assert store.delete(1, if_filter={"state": "taken"})


def test_a_write_sent_again_is_answered_the_same_and_changes_nothing(store: Store) -> None:
    store.insert(1, ONES)
    keys = [str(uuid4()) for _ in range(5)]
    store.insert(2, ONES, {"a": 1}, idempotency_key=keys[0])
    inserted = store.position
    assert store.delete(1, idempotency_key=keys[1])
    assert store.delete_many([2, 3], idempotency_key=keys[2]) == 1
    assert not store.delete(9, idempotency_key=keys[3])
    end = store.position
    store.insert(2, ONES, {"a": 1}, idempotency_key=keys[0])
    assert store.delete(1, idempotency_key=keys[1])
    assert store.delete_many([2, 3], idempotency_key=keys[2]) == 1
    assert not store.delete(9, idempotency_key=keys[3])
    assert (store.count(), store.position, inserted < end) == (0, end, True)
    for other in (
        lambda: store.insert(2, ONES, {"a": "1"}, idempotency_key=keys[0]),
        lambda: store.insert(2, ONES, {"a": 1}, "there", idempotency_key=keys[0]),
        lambda: store.delete(2, idempotency_key=keys[0]),
        lambda: store.delete_many([2], idempotency_key=keys[2]),
    ):
        with pytest.raises(InvalidArgument, match="was used for another write"):
            other()
    with pytest.raises(InvalidArgument, match=r"idempotency_key has 129 bytes; the maximum is 128"):
        store.insert(1, ONES, idempotency_key="k" * 129)
    # What was refused was not acknowledged, so its key is free.
    with pytest.raises(Aborted):
        store.insert(1, ONES, if_position=1, idempotency_key=keys[4])
    store.insert(1, ONES, idempotency_key=keys[4])


def test_a_batch_goes_in_whole_or_not_at_all(store: Store) -> None:
    store.insert(1, ONES)
    before = store.position
    with pytest.raises(InvalidArgument, match=r"documents\[1\]: .*none of the documents is stored"):
        store.insert_many([(5, ONES), (6, ONES[:-1])], atomic=True)
    assert (store.count(), store.position) == (1, before)
    rows = [
        (doc_id, vector, {"n": at})
        for at, (doc_id, vector) in enumerate(zip([1, 2, 3, 2], random_vectors(4)))
    ]
    key = str(uuid4())
    report = store.insert_many(rows, atomic=True, idempotency_key=key)
    assert (report.inserted, report.position) == (4, store.position)
    assert {one.position for one in store.scroll()} == {report.position}
    assert [one.metadata["n"] for one in store.scroll()] == [0, 3, 2]
    store.delete(3)
    assert store.insert_many(rows, atomic=True, idempotency_key=key).position == report.position
    assert store.count() == 2
    with pytest.raises(ResourceExhausted, match=f"at most 10000, of {ATOMIC_BYTES_MAX} bytes"):
        store.insert_many(((at + 1, ONES) for at in range(10_001)), atomic=True)
    with pytest.raises(InvalidArgument, match="needs atomic=True"):
        store.insert_many(rows, idempotency_key=key)
    assert store.insert_many([], atomic=True).inserted == 0


def test_a_read_waits_for_its_position_or_says_that_it_is_stale(store: Store) -> None:
    store.insert(1, ONES)
    now = store.position
    assert store.count(min_position=now) == 1
    assert store.get(1, min_position=now) is not None
    assert len(store.search(ONES, min_position=now)) == 1
    for read in (
        lambda far: store.count(min_position=far, max_wait_s=0.05),
        lambda far: store.get(1, min_position=far, max_wait_s=0.05),
        lambda far: store.get_many([1], min_position=far, max_wait_s=0.05),
        lambda far: store.search(ONES, min_position=far, max_wait_s=0.05),
        lambda far: store.search_many([ONES], min_position=far, max_wait_s=0.05),
        lambda far: store.scroll(min_position=far, max_wait_s=0),
        lambda far: store.sample(1, min_position=far, max_wait_s=0.05),
        lambda far: store.facets("key", min_position=far, max_wait_s=0.05),
    ):
        with pytest.raises(FailedPrecondition, match=f"is at position {now}, and min_position is {now + 9}"):
            read(now + 9)
    with pytest.raises(InvalidArgument, match="max_wait_s must be 0 to 60"):
        store.count(min_position=1, max_wait_s=61)
    with pytest.raises(InvalidArgument, match="max_wait_s must be 0 to 60"):
        store.count(max_wait_s=61)
    with pytest.raises(InvalidArgument, match="min_position must be"):
        store.count(min_position=-1)
