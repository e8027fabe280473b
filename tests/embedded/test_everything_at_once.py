"""All that a collection can do, in any order, against a dict: ids of both types, typed values, namespaces,
conditions, idempotency keys, atomic batches, expiry by a clock that steps, listings, facets, caches, sealing,
reopening.

Each of these has tests of its own; here is what one does to another.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.embedded.everything_model import Filter, Id, Kept, Model

import pykyro
from pykyro.embedded.documents import Documents
from pykyro.model.answers import Hit, StoredDocument
from pykyro.model.errors import InvalidArgument, KyroError, NotFound
from pykyro.model.types import Vector
from pykyro.system.clock import SystemClock

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INTEGERS: list[Id] = [1, 2, 3, 9, 2**32, 2**32 + 1, 2**63, 2**64 - 1]
TEXTS: list[Id] = ["a", "B", "é", "e\u0301", "\0", "1", "\U0001f600", "\ue000", "x" * 512, " "]
WRONG: dict[bool, list[Any]] = {
    True: [1, None, b"a", 1.5, "", "x" * 513, "\ud800"],
    False: ["a", "1", None, 0, -1, 2**64, True, 1.5],
}
NAMESPACES = ["", "", "n", "m"]
KEYS = ["a", "b", "a.b"]
VALUES: list[Any] = [
    *("red", "1", "", 1, 1.0, 2.5, True, None, ["red", 1], [], {"b": 1}, {"b": [1, "x"]}, 2**60 + 1, -0.0),
    *(datetime(2024, 1, 1, tzinfo=UTC), float("inf"), [None, True]),
]
FILTERS: list[dict[str, Any]] = [
    *({"a": "red"}, {"a": 1}, {"a": {"$gt": 1}}, {"a": {"$in": ["red", 2.5, None]}}, {"a.b": 1}),
    *({"a": {"$ne": 1}}, {"a": {"$prefix": "r"}}, {"b": {"$between": [0, 2**60]}}, {"$not": {"b": None}}),
    {"$or": [{"a": True}, {"b": {"$exists": False}}]},
]
DIMENSION = 4


class Session:
    """A database, what should be in it, and random steps that change both."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.directory = directory
        self.now_us = 1_700_000_000_000_000
        self.texts = bool(seed % 2)
        self.ids = TEXTS if self.texts else INTEGERS
        self.model = Model()
        self.acknowledged: list[tuple[str, tuple[Any, ...], dict[str, Any], Any, int]] = []
        self.default_us = 0
        self.name = "first"
        self.open()
        self.database.create_collection(self.name, DIMENSION, id_type="text" if self.texts else "integer")
        self.queries = [self.vector() for _ in range(3)]

    def open(self) -> None:
        self.database = pykyro.open(self.directory, hot_rows_max=8, background=False, sync="none")

    @property
    def store(self) -> pykyro.Collection:
        return self.database.collection(self.name)

    # --- what is written ---

    def vector(self) -> Vector:
        return np.array([1.0, *(self.random.randrange(-2, 3) for _ in range(DIMENSION - 1))], np.float32)

    def metadata(self) -> dict[str, Any]:
        return {key: self.random.choice(VALUES) for key in KEYS if self.random.random() < 0.6}

    def expiry(self) -> tuple[dict[str, Any], int | None]:
        """Arguments, and when that is; None when they say nothing."""
        seconds = self.random.randrange(-5, 60)
        instant_us = self.now_us + seconds * 1_000_000
        by_ttl = ({"ttl": seconds}, instant_us) if seconds > 0 else ({"ttl": math.inf}, 0)
        by_instant = {"expires_at": EPOCH + timedelta(microseconds=instant_us)}, instant_us
        return self.random.choice([({}, None), ({}, None), by_ttl, by_instant])

    def terms(self, doc_id: Id, *, may_be_absent: bool) -> dict[str, Any]:
        one, terms = self.model.documents.get(doc_id), dict[str, Any]()
        kind = self.random.choice(["", "", "absent", "position", "filter", "both"])
        if kind == "absent" and may_be_absent:
            return {"if_absent": True}
        if kind in ("position", "both"):
            terms["if_position"] = one.position if one and self.random.random() < 0.8 else 1
        if kind in ("filter", "both"):
            terms["if_filter"] = self.random.choice(FILTERS)
        return terms

    def key(self) -> dict[str, str]:
        return {"idempotency_key": f"key {len(self.acknowledged)}"} if self.random.random() < 0.3 else {}

    def expires_us(self, *said: int | None) -> int:
        by_default = self.now_us + self.default_us if self.default_us else 0
        return next((one for one in said if one is not None), by_default)

    def write(self, method: str, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, int]:
        """What the write answers, and its position."""
        store = self.store
        answer = getattr(store, method)(*args, **named)
        if named.get("idempotency_key"):
            self.acknowledged.append((method, args, named, answer, store.position))
        return answer, store.position

    def refused(
        self, wanted: type[KyroError] | None, method: str, args: tuple[Any, ...], named: Mapping[str, Any]
    ) -> bool:
        """Whether the write had to be refused, and was."""
        if wanted is not None:
            with pytest.raises(wanted):
                getattr(self.store, method)(*args, **named)
        return wanted is not None

    # --- steps ---

    def insert(self) -> None:
        doc_id, vector, metadata = self.random.choice(self.ids), self.vector(), self.metadata()
        namespace, (when, said_us) = self.random.choice(NAMESPACES), self.expiry()
        terms = self.terms(doc_id, may_be_absent=True)
        call = "insert", (doc_id, vector, metadata, namespace), when | terms | self.key()
        if not self.refused(self.model.refusal(doc_id, "", terms), *call):
            kept = Kept(vector, metadata, namespace, self.expires_us(said_us), self.write(*call)[1])
            self.model.documents[doc_id] = kept

    def insert_many(self) -> None:
        namespace, (when, said_us) = self.random.choice(NAMESPACES), self.expiry()
        is_atomic, has_bad = self.random.random() < 0.5, self.random.random() < 0.2
        documents, expected = list[Any](), dict[Id, Kept]()
        for _ in range(self.random.randrange(1, 5)):
            doc_id, vector, metadata, (own, own_us) = (
                *(self.random.choice(self.ids), self.vector(), self.metadata()),
                self.expiry(),
            )
            documents.append(pykyro.NewDocument(doc_id, vector, metadata, **own))
            expected[doc_id] = Kept(vector, metadata, namespace, self.expires_us(own_us, said_us), 0)
        count = len(documents)
        if has_bad:
            documents.insert(
                self.random.randrange(count + 1), (self.random.choice(WRONG[self.texts]), vector)
            )
        call = (
            "insert_many",
            (documents, namespace),
            when | ({"atomic": True} | self.key() if is_atomic else {}),
        )
        if self.refused(InvalidArgument if has_bad and is_atomic else None, *call):
            return
        report, position = self.write(*call)
        assert (report.inserted, len(report.refused), report.position) == (count, has_bad, position)
        for doc_id, kept in expected.items():
            found = self.store.get(doc_id)
            at = found.position if found and not is_atomic else position
            assert at <= position
            self.model.documents[doc_id] = Kept(kept.vector, kept.metadata, namespace, kept.expires_us, at)

    def update(self) -> None:
        doc_id, metadata, merge = self.random.choice(self.ids), self.metadata(), self.random.random() < 0.6
        namespace, (when, said_us) = self.random.choice(NAMESPACES), self.expiry()
        terms = self.terms(doc_id, may_be_absent=False)
        named = {"merge": merge, "namespace": namespace} | when | terms | self.key()
        call = "update_metadata", (doc_id, metadata), named
        if self.refused(self.model.refusal(doc_id, namespace, terms), *call):
            return
        existed, position = self.write(*call)
        assert existed == self.model.inside(doc_id, namespace)
        if existed:
            kept = self.model.documents[doc_id]
            kept.metadata = kept.metadata | metadata if merge else metadata
            kept.expires_us = kept.expires_us if said_us is None else said_us
            kept.position = position

    def delete(self) -> None:
        doc_id, namespace = self.random.choice(self.ids), self.random.choice(NAMESPACES)
        terms = self.terms(doc_id, may_be_absent=False)
        call = "delete", (doc_id, namespace), terms | self.key()
        if self.refused(self.model.refusal(doc_id, namespace, terms), *call):
            return
        assert self.write(*call)[0] == self.model.inside(doc_id, namespace)
        if self.model.inside(doc_id, namespace):
            del self.model.documents[doc_id]

    def delete_many(self) -> None:
        namespace, key = self.random.choice(NAMESPACES), self.key()
        if self.random.random() < 0.5:
            ids = self.random.choices(self.ids, k=3)
            gone = {doc_id for doc_id in ids if self.model.inside(doc_id, namespace)}
            count, _ = self.write("delete_many", (ids,), {"namespace": namespace} | key)
        else:
            condition = self.random.choice(FILTERS)
            gone = self.model.matching(condition, namespace)
            count, _ = self.write("delete_many", (), {"filter": condition, "namespace": namespace} | key)
        assert count == len(gone)
        for doc_id in gone:
            del self.model.documents[doc_id]

    def send_again(self) -> None:
        """What was acknowledged is answered the same and changes nothing; another write under its key is refused."""
        if self.acknowledged:
            method, args, named, answer, position = self.random.choice(self.acknowledged)
            store = self.store
            assert (getattr(store, method)(*args, **named), store.position) == (answer, position)
            with pytest.raises(InvalidArgument, match="was used for another write"):
                store.insert(self.ids[0], [9.0] * DIMENSION, idempotency_key=named["idempotency_key"])

    def mistake(self) -> None:
        wrong, store = self.random.choice(WRONG[self.texts]), self.store
        with pytest.raises(InvalidArgument):
            store.insert(wrong, self.vector())
        with pytest.raises(InvalidArgument):
            store.update_metadata(wrong, {})
        with pytest.raises(InvalidArgument):
            store.get_many([self.ids[0], wrong])
        with pytest.raises(InvalidArgument):
            store.delete_many([self.ids[0], wrong])

    def let_time_pass(self) -> None:
        self.now_us += self.random.choice([1, 20, 60]) * 1_000_000

    def set_the_clock_back(self) -> None:
        self.store.count()  # Gone is what was seen to be gone.
        self.now_us -= 10_000_000

    def seal(self) -> None:
        self.store.flush()

    def reopen(self) -> None:
        self.database.close()
        self.open()

    def rename(self) -> None:
        old, self.name = self.name, f"name-{self.random.randrange(10**6)}"
        self.database.rename_collection(old, self.name)
        with pytest.raises(NotFound):
            self.database.collection(old).count()

    def change_default_ttl(self) -> None:
        seconds = self.random.choice([math.inf, 30])
        self.database.update_collection(self.name, default_ttl=seconds)
        self.default_us = 0 if seconds == math.inf else 30_000_000

    # --- what is read ---

    def check(self) -> None:
        """All that can be read says the same as the model."""
        store, condition = self.store, self.random.choice([None, *FILTERS])
        namespace, descending = self.random.choice(NAMESPACES), self.random.random() < 0.5
        wanted = self.model.matching(condition, namespace)
        common: dict[str, Any] = {"filter": condition, "namespace": namespace}
        assert store.count(**common) == len(wanted)
        listing = common | {"descending": descending, "include_vectors": True}
        ids: list[Any] = sorted(wanted, reverse=descending)
        assert self.listed(store, listing) == ids
        key = self.random.choice(KEYS)
        by_value = self.model.by_value(wanted, key, descending=descending)
        found = self.listed(store, listing | {"order_by": key})
        if self.texts:  # Equal ones are in an order of their own.
            assert sorted(found) == sorted(by_value)
            places = [self.model.stands_at(one, key, descending=descending) for one in by_value]
            assert [self.model.stands_at(one, key, descending=descending) for one in found] == places
        else:
            assert found == by_value
        facets = [(facet.value, facet.count) for facet in store.facets(key, limit=1000, **common)]
        assert repr(facets) == repr(self.model.facets(wanted, key))
        sampled = store.sample(3, **common)
        assert len({one.id for one in sampled} & wanted) == len(sampled) == min(3, len(wanted))
        for doc_id, one in zip(self.ids, store.get_many(self.ids, namespace), strict=True):
            assert (one is not None) == self.model.inside(doc_id, namespace)
            if one is not None:
                self.check_document(one)
        for _ in range(2):
            self.check_search(store, wanted, common)

    def listed(self, store: Documents, arguments: dict[str, Any]) -> list[Any]:
        """The ids page by page."""
        found, token = list[StoredDocument](), ""
        while True:
            page = store.scroll(limit=self.random.choice([1, 3, 50]), page_token=token, **arguments)
            found += page
            token = page.next_page_token
            if not token:
                break
        for one in found:
            self.check_document(one)
        return [one.id for one in found]

    def check_document(self, one: StoredDocument | Hit, *, has_position: bool = True) -> None:
        kept = self.model.documents[one.id]
        assert repr(sorted(one.metadata.items())) == repr(sorted(kept.metadata.items()))
        expires_us = 0 if one.expires_at is None else (one.expires_at - EPOCH) // timedelta(microseconds=1)
        assert (expires_us, one.position) == (kept.expires_us, kept.position if has_position else 0)
        assert one.vector is not None
        assert one.vector.tobytes() == kept.vector.tobytes()

    def check_search(self, store: Documents, wanted: set[Id], common: dict[str, Filter]) -> None:
        """The nearest of what matches, whether a cache answers or not."""
        query, k = self.random.choice(self.queries), self.random.choice([1, 3, 20])
        has_positions, exact = self.random.random() < 0.3, self.random.random() < 0.3
        answer = store.search(
            query,
            k,
            exact=exact,
            include_vectors=True,
            include_positions=has_positions,
            **common,  # type: ignore[arg-type]
        )
        similarities = sorted((self.model.similarity(one, query) for one in wanted), reverse=True)
        assert answer.matched == len(wanted)
        assert {hit.id for hit in answer} <= wanted
        assert [hit.score for hit in answer] == pytest.approx(similarities[:k], abs=1e-6)
        assert sorted(answer, key=lambda hit: (-hit.score, hit.id)) == list(answer)
        assert answer.position == store.scroll(limit=1).position
        for hit in answer:
            self.check_document(hit, has_position=has_positions)


STEPS = [
    *[Session.insert] * 5,
    *[Session.insert_many] * 3,
    *[Session.update] * 5,
    *[Session.delete, Session.send_again, Session.let_time_pass, Session.seal] * 2,
    *[Session.delete_many, Session.mistake, Session.set_the_clock_back, Session.reopen, Session.rename],
    Session.change_default_ttl,
]


@pytest.mark.parametrize("seed", range(6))
def test_everything_at_once_is_as_in_a_dict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    session = Session(tmp_path / "data", seed)
    monkeypatch.setattr(SystemClock, "wall_us", lambda _: session.now_us)
    try:
        for _ in range(60):
            session.random.choice(STEPS)(session)
            session.model.reap(session.now_us)
            session.check()
    finally:
        session.database.close()
