"""What every store does alike with documents that go at an instant; a real server is one of them."""

from __future__ import annotations

import inspect
import math
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast

import pytest
from tests.client.stores import DIMENSION, Store
from tests.patience import wait_until

from pykyro import InvalidArgument, NewDocument

ONES = [1.0] * DIMENSION
LATER = datetime(2100, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)


def instants(store: Store) -> dict[int, datetime | None]:
    """What every read says of each document, all the same."""
    found = {hit.id: hit.expires_at for hit in store.search(ONES, 100)}
    assert {one.id: one.expires_at for one in store.scroll()} == found
    assert {one.id: one.expires_at for one in store.sample(100)} == found
    for doc_id, instant in found.items():
        one = store.get(doc_id)
        assert one is not None
        _ = one.metadata
        assert one.expires_at == instant
    return found


def test_every_answer_tells_when_a_document_goes(store: Store) -> None:
    store.insert(1, ONES, {"n": 1, "tags": ["a"]}, expires_at=LATER)
    store.insert(2, ONES, expires_at=LATER.astimezone(timezone(timedelta(hours=5))))
    store.insert(3, ONES, {"n": 3}, expires_at=int(LATER.timestamp()))
    store.insert(4, ONES, {"n": 3})
    store.insert(5, ONES, expires_at=math.inf)
    whole = LATER.replace(microsecond=0)
    assert instants(store) == {1: LATER, 2: LATER, 3: whole, 4: None, 5: None}
    assert [one.expires_at for one in store.scroll(include_metadata=False)] == [None] * 5
    assert store.scroll()[0].metadata == {"n": 1, "tags": ["a"]}
    before = datetime.now(UTC)
    store.insert(1, ONES, ttl=timedelta(days=1))
    (instant,) = (one.expires_at for one in store.get_many([1]) if one is not None)
    assert instant is not None
    assert before <= instant - timedelta(days=1) <= datetime.now(UTC)


def test_many_documents_go_as_they_or_the_call_say(store: Store) -> None:
    kept = NewDocument(9, ONES, {"a": "b"}, expires_at=LATER)
    store.insert_many([kept])
    copied = store.get(9)
    assert copied is not None
    wrong: Any = NewDocument(4, ONES, ttl=-1)
    report = store.insert_many(
        [(1, ONES), NewDocument(2, ONES, ttl=math.inf), copied, wrong], expires_at=4_000_000_000
    )
    assert (report.inserted, [one.id for one in report.refused]) == (3, [4])
    assert "ttl must be > 0" in report.refused[0].reason
    assert instants(store) == {1: datetime.fromtimestamp(4e9, UTC), 2: None, 9: LATER}


def test_an_update_keeps_changes_and_removes_it(store: Store) -> None:
    store.insert(1, ONES, {"a": "x"}, expires_at=LATER)
    store.update_metadata(1, {"b": "y"})
    store.update_metadata(1, {"c": "z"}, merge=True)
    assert instants(store) == {1: LATER}
    sooner = LATER - timedelta(days=1)
    assert store.update_metadata(1, {}, merge=True, expires_at=sooner)
    assert instants(store) == {1: sooner}
    assert store.update_metadata(1, {"d": "w"}, merge=True, ttl=math.inf)
    assert instants(store) == {1: None}
    found = store.get(1)
    assert found is not None
    assert found.metadata == {"b": "y", "c": "z", "d": "w"}
    assert store.update_metadata(1, {}, ttl=0.001)
    wait_until(lambda: store.count() == 0)


def test_it_goes_at_the_instant(store: Store) -> None:
    store.insert(1, ONES, ttl=0.4)
    store.insert(2, ONES)
    store.insert(3, ONES, expires_at=datetime(1990, 1, 1, tzinfo=UTC))
    assert [hit.id for hit in store.search(ONES)] == [1, 2]
    found = store.get(1)
    assert found is not None
    assert found.expires_at is not None
    while datetime.now(UTC) < found.expires_at:
        time.sleep(0.01)
    assert store.get(1) is None
    assert [hit.id for hit in store.search(ONES)] == [2]
    assert store.count() == store.stats().documents == 1
    assert not store.delete(1)


def test_a_collection_gives_its_documents_a_time_to_live(store: Store) -> None:
    many: Any = store.create_collection("short", DIMENSION, default_ttl=3600)

    def waited(result: Any) -> Any:
        return cast(Any, store)._wait(result) if inspect.isawaitable(result) else result

    def stays(doc_id: int, **given: Any) -> bool:
        waited(many.insert(doc_id, ONES, **given))
        return waited(many.get(doc_id)).expires_at is None

    assert not stays(1)
    assert stays(2, ttl=math.inf)
    assert store.describe_collection("short").config.default_ttl == timedelta(hours=1)
    assert store.update_collection("short", ef_search=70).config.default_ttl == timedelta(hours=1)
    info = store.update_collection("short", default_ttl=math.inf)
    assert (info.config.default_ttl, info.config.ef_search) == (None, 70)
    assert stays(3)
    with pytest.raises(InvalidArgument, match="default_ttl_secs"):
        store.update_collection("default", default_ttl=5)
    store.drop_collection("short")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ttl": 0}, "ttl must be > 0"),
        ({"ttl": -5}, "ttl must be > 0"),
        ({"ttl": math.nan}, "ttl must be a timedelta or seconds, got NaN"),
        ({"ttl": "5"}, "ttl must be a timedelta or seconds"),
        ({"ttl": True}, "ttl must be a timedelta or seconds"),
        ({"ttl": timedelta(days=40_000)}, "ttl must be > 0 and <= 3153600000 seconds"),
        ({"expires_at": 0}, "expires_at must be > 0"),
        ({"expires_at": -math.inf}, "expires_at must be > 0"),
        ({"expires_at": 10**20}, "the year 2255"),
        ({"expires_at": datetime(2030, 1, 1)}, "expires_at must have a time zone"),
        ({"expires_at": LATER, "ttl": 5}, "cannot both be given"),
    ],
)
def test_a_wrong_expiry_is_named(store: Store, given: dict[str, Any], message: str) -> None:
    for call in (
        lambda: store.insert(1, ONES, **given),
        lambda: store.insert_many([(1, ONES)], **given),
        lambda: store.update_metadata(1, {}, **given),
    ):
        with pytest.raises(InvalidArgument, match=message):
            call()
