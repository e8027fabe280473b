"""Documents go at their instant, from every answer, for good: against a dict, with a clock that steps both ways."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.crash.clock import FakeClock
from tests.crash.disk import AllLost
from tests.crash.fault_filesystem import Fault, FaultFS
from tests.crash.session import open_on
from tests.engine.opening import DIMENSION, ids, open_small, vectors

from pykyro.engine import expiration
from pykyro.engine.engine import Engine
from pykyro.engine.options import EngineOptions
from pykyro.model.errors import DataDirMismatch, KyroError, ResourceExhausted
from pykyro.model.expiry import NEVER, Expiry
from pykyro.model.filter import Exact
from pykyro.model.listing import PageRequest
from pykyro.model.metadata_wire import expires_in
from pykyro.model.requests import Ack, Delete, DeleteMatching, Put, SearchRequest, UpdateMetadata
from pykyro.model.types import EVERYTHING, Document, Scope
from pykyro.storage import manifest as manifests
from pykyro.storage.files.filesystem import LocalFileSystem

NOW_S = 1_700_000_000
ROWS = vectors(12)
LARGE = "x" * 5000


def clock_at(seconds: float = 0) -> FakeClock:
    return FakeClock(NOW_S + seconds, tick_us=0)


def put(doc_id: int, expiry: Expiry | None = None, **metadata: str) -> Put:
    return Put(Document(doc_id, ROWS[doc_id % len(ROWS)], metadata), expiry=expiry)


def after(seconds: float) -> Expiry:
    return Expiry(ttl_us=int(seconds * 1e6))


def at(seconds: float) -> Expiry:
    return Expiry(at_us=int((NOW_S + seconds) * 1e6))


def everything(engine: Engine) -> dict[int, int]:
    """The ids that each kind of read tells of, all the same, and when they go."""
    request = SearchRequest(ROWS[0], 100, exact=True)
    found = engine.search(request)
    page = engine.listing.page(PageRequest(100, None, EVERYTHING))
    told = {one.doc_id: expires_in(one.metadata_wire) for one in page.documents}
    assert {hit.doc_id: expires_in(hit.metadata_wire) for hit in found.hits} == told
    assert found.matched == engine.listing.count(None, EVERYTHING)[0] == len(told) == engine.documents
    assert sorted(ids(engine.search(SearchRequest(ROWS[0], 100)))) == sorted(told)
    sampled = engine.listing.sample(PageRequest(100, None, EVERYTHING))
    assert {one.doc_id for one in sampled.documents} == told.keys()
    stats = engine.stats()
    assert stats.documents == stats.hot_documents + stats.cold_documents == len(told)
    for doc_id in range(1, len(ROWS)):
        one = engine.get(doc_id)
        assert (None if one is None else expires_in(one.metadata_wire)) == told.get(doc_id)
    return told


IDS = st.integers(1, 4)
KINDS = st.sampled_from("ab")
EXPIRIES = st.one_of(
    st.none(),
    st.none(),
    st.just(NEVER),
    st.integers(1, 50).map(after),
    st.integers(-50, 100).map(at),
)


class AgainstADict(RuleBasedStateMachine):
    """`known` is what the documents are: id to kind and instant."""

    @initialize()
    def begin(self) -> None:
        self.directory = Path(mkdtemp())
        self.clock = clock_at()
        self.known: dict[int, tuple[str, int]] = {}
        self.default: Expiry | None = None
        self.open()

    def open(self) -> None:
        self.engine = open_small(self.directory, clock=self.clock)
        self.engine.default_ttl_us = 0 if self.default is None else self.default.ttl_us

    def instant(self, expiry: Expiry) -> int:
        return expiry.at_us or (self.clock.wall_us() + expiry.ttl_us if expiry.ttl_us else 0)

    def purge(self) -> None:
        now_us = self.clock.wall_us()
        self.known = {key: one for key, one in self.known.items() if not 0 < one[1] <= now_us}

    @rule(documents=st.lists(st.tuples(IDS, EXPIRIES, KINDS, st.booleans()), min_size=1, max_size=4))
    def insert(self, documents: list[tuple[int, Expiry | None, str, bool]]) -> None:
        """In one group of the log."""
        puts = [
            put(doc_id, expiry, kind=kind, **({"text": LARGE} if large else {}))
            for doc_id, expiry, kind, large in documents
        ]
        answers = self.engine.commit(puts)
        for (doc_id, expiry, kind, _), answer in zip(documents, answers, strict=True):
            assert isinstance(answer, Ack)
            assert answer.existed == (doc_id in self.known)
            self.known[doc_id] = kind, self.instant(expiry or self.default or NEVER)

    @rule(doc_id=IDS, expiry=EXPIRIES, kind=KINDS, merge=st.booleans())
    def update(self, doc_id: int, expiry: Expiry | None, kind: str, merge: bool) -> None:
        ack = self.engine.write(UpdateMetadata(doc_id, {"kind": kind}, merge, expiry=expiry))
        assert ack.existed == (doc_id in self.known)
        if doc_id in self.known:
            before = self.known[doc_id][1]
            self.known[doc_id] = kind, before if expiry is None else self.instant(expiry)

    @rule(doc_id=IDS)
    def delete(self, doc_id: int) -> None:
        assert self.engine.write(Delete(doc_id)).existed == (self.known.pop(doc_id, None) is not None)

    @rule(kind=KINDS)
    def delete_matching(self, kind: str) -> None:
        gone = {doc_id for doc_id, one in self.known.items() if one[0] == kind}
        assert self.engine.write(DeleteMatching(Exact("kind", kind))).existed == len(gone)
        self.known = {doc_id: one for doc_id, one in self.known.items() if doc_id not in gone}

    @rule(seconds=st.integers(-60, 60))
    def step(self, seconds: int) -> None:
        self.clock.step_wall(seconds)

    @rule(number=st.integers(0, 1), missing_us=st.integers(0, 1))
    def step_to_an_instant(self, number: int, missing_us: int) -> None:
        """The next or the one after it, or a microsecond before."""
        instants = sorted({one[1] for one in self.known.values() if one[1]})
        if number < len(instants):
            self.clock.step_wall((instants[number] - missing_us - self.clock.wall_us()) / 1e6)

    @rule(seconds=st.sampled_from([0, 20]))
    def change_default(self, seconds: int) -> None:
        self.default = after(seconds) if seconds else None
        self.engine.default_ttl_us = 1_000_000 * seconds

    @rule(merge=st.booleans())
    def seal(self, merge: bool) -> None:
        self.engine.flush()
        while merge and self.engine.maintain():
            pass

    @rule(seconds=st.sampled_from([-30, 0, 30]), dies=st.booleans())
    def restart(self, seconds: int, dies: bool) -> None:
        """From what the directory has at this moment, which is all that is left after a crash."""
        copy = Path(mkdtemp())
        if dies:
            shutil.copytree(self.directory, copy, dirs_exist_ok=True)
        self.engine.close()
        if dies:
            self.directory, copy = copy, self.directory
        shutil.rmtree(copy)
        self.clock.step_wall(seconds)
        self.open()

    @invariant()
    def agree(self) -> None:
        self.purge()
        assert everything(self.engine) == {doc_id: one[1] for doc_id, one in self.known.items()}
        kinds = [one[0] for one in self.known.values()]
        for kind in "ab":
            assert self.engine.listing.count(Exact("kind", kind), EVERYTHING)[0] == kinds.count(kind)

    def teardown(self) -> None:
        self.engine.close()
        shutil.rmtree(self.directory)


AgainstADict.TestCase.settings = settings(max_examples=16, stateful_step_count=40, deadline=None)
TestAgainstADict = AgainstADict.TestCase


def test_at_the_instant_and_not_before(tmp_path: Path) -> None:
    clock = clock_at()
    engine = open_small(tmp_path, clock=clock)
    engine.write(put(1, at(10)))
    clock.step_wall(10)
    clock.step_wall(-1e-6)
    assert everything(engine) == {1: (NOW_S + 10) * 1_000_000}
    clock.step_wall(1e-6)
    assert everything(engine) == {}
    assert engine.stats().expired == 1
    engine.close()


@pytest.mark.parametrize("sealed", [False, True])
def test_a_large_document_goes_also_when_it_was_merged_into(tmp_path: Path, sealed: bool) -> None:
    clock = clock_at()
    engine = open_small(tmp_path, clock=clock)
    engine.write(put(1, at(10), text=LARGE))
    if sealed:
        engine.flush()
    engine.write(UpdateMetadata(1, {"kind": "b"}, merge=True))
    assert everything(engine) == {1: (NOW_S + 10) * 1_000_000}
    clock.advance(10)
    assert everything(engine) == {}
    engine.close()


@pytest.mark.parametrize("first", [1, 2])
def test_what_is_in_several_segments_goes_in_order_also_after_a_start(tmp_path: Path, first: int) -> None:
    clock = clock_at()
    engine = open_small(tmp_path, clock=clock)
    instants = {1: 10, 2: 20, 3: 30} if first == 1 else {1: 30, 2: 10, 3: 20}
    for doc_id, seconds in instants.items():
        engine.write(put(doc_id, at(seconds)))
        engine.flush()
    engine.close()
    engine = open_small(tmp_path, clock=clock)
    for seconds in (10, 20, 30):
        clock.advance(10)
        assert set(everything(engine)) == {doc_id for doc_id, one in instants.items() if one > seconds}
    engine.close()


def test_cached_answers_lose_what_goes(tmp_path: Path) -> None:
    clock = clock_at()
    engine = open_small(tmp_path, clock=clock)
    engine.commit([put(1), put(2, after(5))])
    request = SearchRequest(ROWS[1], 1)
    second = SearchRequest(ROWS[2], 1)
    for _ in range(4):
        assert ids(engine.search(request)) == [1]
        assert ids(engine.search(second)) == [2]
    assert engine.search(second).cached is not None
    clock.advance(5)
    for _ in range(3):
        assert ids(engine.search(second)) == [1]
    engine.close()


def test_a_quota_counts_none_that_is_gone(tmp_path: Path) -> None:
    class Limit:
        documents_max = 1

        def refusal(self) -> ResourceExhausted:
            return ResourceExhausted("full")

    clock = clock_at()
    engine = open_small(tmp_path, clock=clock)
    engine.tenant_indices(["acme"])

    def store(doc_id: int) -> bool:
        document = Document(doc_id, ROWS[0], Scope(1).constraints, 1)
        (answer,) = engine.commit([Put(document, Limit(), after(5))])
        return not isinstance(answer, KyroError)

    assert store(1)
    assert not store(2)
    clock.advance(5)
    assert engine.tenant_documents() == {"acme": 0}
    clock.advance(-5)
    assert store(3)
    clock.advance(5)
    assert store(4)  # the writer sees to it as well
    engine.close()


def test_many_go_at_once_and_their_space_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiration, "_LOGGED_TOGETHER", 64)
    clock, count = clock_at(), 600
    engine = open_small(tmp_path, clock=clock)
    documents = [Document(doc_id + 1, row, {}) for doc_id, row in enumerate(vectors(count))]
    engine.commit([Put(document, expiry=after(5)) for document in documents[: count // 2]])
    engine.flush()
    engine.commit([Put(document, expiry=after(5)) for document in documents[count // 2 :]])
    engine.write(put(count + 1))
    clock.advance(5)
    assert list(everything(engine)) == [count + 1]
    position = engine.stats().position
    assert position < engine.write(put(count + 1)).lsn - 1, "the writer logs what readers left"
    while engine.maintain():
        pass
    engine.flush()
    while engine.maintain():
        pass
    assert (engine.stats().dead_rows, engine.stats().expired) == (0, count)
    clock.advance(-5)
    engine.close()
    again = open_small(tmp_path, clock=clock)
    assert list(everything(again)) == [count + 1]
    again.close()


def test_what_cannot_be_logged_goes_all_the_same() -> None:
    clock, disk = clock_at(), FaultFS()

    def opened() -> Engine:
        options = EngineOptions(DIMENSION, background=False)
        return open_on(disk, options, clock)

    engine = opened()
    engine.commit([put(1), put(2, after(5)), put(3, after(5))])
    engine.flush()
    engine.commit([put(4, after(5))])
    disk.faults = [Fault(len(disk.calls), "error", lasting=True)]
    assert isinstance(engine.commit([put(9)])[0], KyroError)
    clock.step_wall(5)
    assert set(everything(engine)) == {1}
    clock.step_wall(-5)
    assert isinstance(engine.commit([put(2)])[0], KyroError)
    clock.advance(60)
    assert set(everything(engine)) == {1}
    disk.heal()
    clock.advance(60)
    clock.step_wall(-120)
    engine.write(put(2))  # behind what was missing in the log
    assert set(everything(engine)) == {1, 2}
    engine.write(Delete(2))
    disk = disk.crash(AllLost())
    engine = opened()
    assert set(everything(engine)) == {1}
    engine.close()


def test_earlier_programs_read_on_until_the_first_expiry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_small(tmp_path, clock=clock_at())
    engine.write(put(1, NEVER))
    path = tmp_path / "MANIFEST"
    assert path.read_bytes().startswith(b"KYRODB-MANIFEST 1 ")
    engine.write(put(1, after(5)))
    assert path.read_bytes().startswith(b"KYRODB-MANIFEST 4 ")
    engine.close()
    monkeypatch.setattr(manifests, "_FORMATS", (b"1", b"2", b"3"))
    with pytest.raises(DataDirMismatch):
        manifests.read_manifest(LocalFileSystem(), tmp_path)


def test_what_a_client_stored_under_the_key_before_is_no_instant(tmp_path: Path) -> None:
    clock = clock_at()
    engine = open_small(tmp_path, clock=clock)
    engine.write(put(1, after(5), other="1"))
    engine.write(Put(Document(2, ROWS[2], {"__expires_at_us__": "5"})))
    engine.write(Put(Document(3, np.asarray(ROWS[3]), {"__expires_at_us__": "inf"})))
    engine.flush()
    clock.advance(10)
    assert everything(engine) == {2: 0, 3: 0}
    engine.close()
