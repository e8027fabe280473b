"""Numbers of tenants, and counts of their documents: durable, exact, and never another tenant's."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.crash.disk import RandomLoss
from tests.crash.fault_filesystem import Fault, FaultFS
from tests.engine.opening import DIMENSION, open_small, settle, vectors

from pykyro.engine.engine import Engine, open_engine
from pykyro.engine.maintenance.builder import InlineBuilder
from pykyro.engine.options import EngineOptions
from pykyro.model.errors import DataDamaged, InvalidArgument, ResourceExhausted, WriteFailed
from pykyro.model.requests import Ack, Delete, DeleteMany, Operation, Put, UpdateMetadata
from pykyro.model.types import Document, Scope
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.files.replace_file import replace_file

VECTOR = vectors(1)[0]


@dataclass(frozen=True)
class Limit:
    documents_max: int

    def refusal(self) -> ResourceExhausted:
        return ResourceExhausted(f"no more than {self.documents_max}")


def put(tenant: int, local: int, limit: Limit | None = None) -> Put:
    return Put(Document(local, VECTOR, Scope(tenant).constraints, tenant), limit)


def test_numbers_start_at_one_and_are_kept(tmp_path: Path) -> None:
    engine = open_small(tmp_path)
    assert engine.tenant_indices(["acme", "globex"]) == {"acme": 1, "globex": 2}
    assert engine.tenant_indices(["initech", "acme"]) == {"initech": 3, "acme": 1}
    engine.close()
    reopened = open_small(tmp_path)
    assert reopened.tenant_indices(["globex", "hooli"]) == {"globex": 2, "hooli": 4}
    reopened.close()


def test_a_snapshot_carries_the_numbers(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    engine.tenant_indices(["acme", "globex"])
    engine.write(put(2, 1))
    snapshot = Path(engine.snapshot().path)
    engine.close()
    then = open_small(snapshot)
    assert then.tenant_indices(["globex"]) == {"globex": 2}
    assert then.tenant_documents() == {"acme": 0, "globex": 1}
    then.close()


def test_a_snapshot_carries_the_usage_of_its_moment(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    usage = tmp_path / "data" / "tenant_usage.state"
    without = Path(engine.snapshot().path)
    replace_file(LocalFileSystem(), usage.parent, usage.name, b"then")
    snapshot = Path(engine.snapshot().path)
    replace_file(LocalFileSystem(), usage.parent, usage.name, b"now")
    assert not (without / usage.name).exists()
    assert (snapshot / usage.name).read_bytes() == b"then"
    assert usage.read_bytes() == b"now"
    engine.close()


def test_numbers_of_an_earlier_version_are_taken_over_once(tmp_path: Path) -> None:
    legacy = tmp_path / "tenants.json"
    legacy.write_text(json.dumps({"acme": 0, "globex": 7}))
    engine = open_small(tmp_path)
    assert engine.tenant_indices(["initech", "globex", "acme"]) == {"initech": 8, "globex": 7, "acme": 0}
    engine.close()
    legacy.write_text(json.dumps({"acme": 5, "globex": 6}))
    reopened = open_small(tmp_path)
    assert reopened.tenant_indices(["acme", "globex"]) == {"acme": 0, "globex": 7}
    reopened.close()


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"acme": "1"}', '{"acme": true}', '{"acme": -1}', '{"a": 1, "b": 1}', '{"a": 4294967296}'],
)
def test_numbers_of_an_earlier_version_that_cannot_be_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "tenants.json").write_text(content)
    with pytest.raises(DataDamaged, match=r"tenants\.json"):
        open_small(tmp_path)


@pytest.mark.parametrize("at", range(8))
def test_a_number_is_durable_before_it_is_told(at: int) -> None:
    disk = FaultFS(seed=at)
    engine = _on(disk)
    engine.tenant_indices(["acme"])
    disk.faults.append(Fault(len(disk.calls) + at, "error"))
    try:
        told = engine.tenant_indices(["globex"])
    except WriteFailed:
        told = {}
    after = _on(disk.crash(RandomLoss(at)))
    assert after.tenant_indices(["initech", "acme"])["acme"] == 1
    assert after.tenant_indices(["globex"]).items() >= told.items()
    after.close()
    if not told:
        # Nobody was told, so the number is free for whoever asks first.
        disk.heal()
        assert engine.tenant_indices(["hooli"]) == {"hooli": 2}


def _on(disk: FaultFS) -> Engine:
    options = EngineOptions(DIMENSION, background=False)
    return open_engine("/data", options, filesystem=disk, builder=InlineBuilder(disk))


def test_counts_follow_writes_seals_merges_and_restarts(tmp_path: Path) -> None:
    engine = open_small(tmp_path)
    engine.tenant_indices(["acme", "globex"])
    engine.commit([put(1, local) for local in range(1, 31)] + [put(2, local) for local in range(1, 11)])
    engine.commit([Put(Document(doc_id, VECTOR)) for doc_id in (5, 9, 2**32 + 5, 2 * 2**32 + 5)])
    engine.flush()
    engine.commit([Delete(local, Scope(1)) for local in range(1, 6)])
    engine.commit([put(1, 10), put(1, 31), UpdateMetadata(1, {"a": "b"}, scope=Scope(2))])
    engine.flush()
    settle(engine)
    engine.write(put(2, 11))
    expected = {"acme": 26, "globex": 11}
    assert engine.tenant_documents() == expected
    engine.close()
    reopened = open_small(tmp_path)
    assert reopened.tenant_documents() == expected
    reopened.close()


def test_a_document_of_a_number_given_to_nobody_is_refused(tmp_path: Path) -> None:
    engine = open_small(tmp_path)
    engine.tenant_indices(["acme"])
    for number in (0, 2):
        with pytest.raises(InvalidArgument, match=f"tenant {number}, a number given to no tenant"):
            engine.write(put(number, 1))
    assert engine.stats().documents == 0
    engine.close()


@pytest.mark.parametrize("metadata", [{}, Scope(2).constraints])
def test_a_document_whose_metadata_names_another_tenant_is_refused(
    tmp_path: Path, metadata: dict[str, str]
) -> None:
    engine = open_small(tmp_path)
    engine.tenant_indices(["acme", "globex"])
    with pytest.raises(InvalidArgument, match="is of tenant 1, but its __tenant_idx__ is"):
        engine.write(Put(Document(1, VECTOR, metadata, 1)))
    with pytest.raises(InvalidArgument, match="is of tenant None, but its __tenant_idx__ is '1'"):
        engine.write(Put(Document(1, VECTOR, Scope(1).constraints)))
    assert engine.stats().documents == 0
    engine.close()


def test_a_group_gets_the_part_of_it_that_fits(tmp_path: Path) -> None:
    engine = open_small(tmp_path)
    engine.tenant_indices(["acme", "globex"])
    limit = Limit(2)
    answers = engine.commit(
        [
            put(1, 1, limit),
            put(1, 2, limit),
            put(1, 3, limit),
            put(1, 1, limit),
            put(2, 1, limit),
            Delete(2, Scope(1)),
            put(1, 4, limit),
            put(1, 5, limit),
        ]
    )
    fitted = [isinstance(answer, Ack) for answer in answers]
    assert fitted == [True, True, False, True, True, True, True, False]
    assert isinstance(answers[2], ResourceExhausted)
    assert str(answers[2]) == "no more than 2"
    assert engine.tenant_documents() == {"acme": 2, "globex": 1}
    engine.close()


def test_the_limit_is_exact_when_callers_race_for_the_last_place(tmp_path: Path) -> None:
    engine = open_small(tmp_path)
    engine.tenant_indices(["acme"])
    limit = Limit(100)
    stored: list[Ack] = []

    def insert(caller: int) -> None:
        for group in range(10):
            first = 1 + 1000 * caller + 4 * group
            answers = engine.commit([put(1, first + at, limit) for at in range(4)])
            stored.extend(answer for answer in answers if isinstance(answer, Ack))

    threads = [threading.Thread(target=insert, args=(caller,)) for caller in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stored) == 100
    assert engine.tenant_documents() == {"acme": 100}
    assert engine.stats().documents == 100
    engine.close()


_STEP = st.one_of(
    st.tuples(st.just("put"), st.integers(1, 2), st.integers(1, 6)),
    st.tuples(st.just("delete"), st.integers(1, 2), st.integers(1, 6)),
    st.tuples(st.just("flush"), st.just(0), st.just(0)),
    st.tuples(st.just("reopen"), st.just(0), st.just(0)),
)


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(_STEP, max_size=25))
def test_counts_and_limits_are_those_of_two_sets(
    steps: list[tuple[str, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("db")
    engine, sets, limit = open_small(path), {1: set[int](), 2: set[int]()}, Limit(4)
    engine.tenant_indices(["acme", "globex"])
    for kind, tenant, local in steps:
        operation: Operation
        if kind == "put":
            (answer,) = engine.commit([put(tenant, local, limit)])
            fits = local in sets[tenant] or len(sets[tenant]) < 4
            assert isinstance(answer, Ack) == fits
            if fits:
                sets[tenant].add(local)
        elif kind == "delete":
            operation = DeleteMany([local, local], Scope(tenant))
            assert engine.write(operation).existed == (local in sets[tenant])
            sets[tenant].discard(local)
        elif kind == "flush":
            engine.flush()
            settle(engine)
        else:
            engine.close()
            engine = open_small(path)
        assert engine.tenant_documents() == {"acme": len(sets[1]), "globex": len(sets[2])}
    engine.close()
