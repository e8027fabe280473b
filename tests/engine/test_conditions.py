"""Conditions and idempotency keys against a dict, through seals, merges, restarts and kills."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.engine.opening import open_small, put, settle, vectors

import pykyro
from pykyro.backup.create import CreateOptions, create_backup
from pykyro.backup.history.catalog import read_catalog
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import plan_backup
from pykyro.backup.restore import restore
from pykyro.backup.target.locate import open_target
from pykyro.engine.engine import Engine
from pykyro.engine.request_keys import RequestKeys
from pykyro.memory.account import Account, Total
from pykyro.model.conditions import Terms
from pykyro.model.errors import Aborted, AlreadyExists, InvalidArgument, KyroError
from pykyro.model.filter import Exact
from pykyro.model.requests import Ack, Delete, Operation, Put, PutMany, UpdateMetadata
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.manifest import read_manifest
from pykyro.storage.request_keys import Acknowledged
from pykyro.storage.wal.records import KeyRecord
from pykyro.system.clock import SystemClock

(VECTOR,) = vectors(1)
DISK = LocalFileSystem()
ids = st.integers(1, 4)
colours = st.sampled_from(("red", "blue"))


class ConditionsMachine(RuleBasedStateMachine):
    """`documents` has metadata and position of each, and `acknowledged` by key the operation's number and answer."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.engine = open_small(self.directory)
        self.documents: dict[int, tuple[dict[str, str], int]] = {}
        self.told: list[tuple[int, int]] = []
        """Positions that clients read, with the ids."""
        self.acknowledged: dict[str, tuple[Operation, Ack]] = {}

    def teardown(self) -> None:
        self.engine.close()
        shutil.rmtree(self.directory)

    def holds(self, doc_id: int, terms: Terms | None) -> bool:
        stored = self.documents.get(doc_id)
        if terms is None:
            return True
        if terms.if_absent:
            return stored is None
        if terms.if_position is not None and (stored is None or stored[1] != terms.if_position):
            return False
        return terms.if_filter is None or (
            stored is not None and stored[0].get("colour") == terms.if_filter.value  # type: ignore[union-attr]
        )

    def terms(self, choice: int, doc_id: int, colour: str) -> Terms | None:
        """None, if_absent, the true position, one that was told earlier, or a filter."""
        told = [position for known, position in self.told if known == doc_id]
        stored = self.documents.get(doc_id)
        if choice == 1:
            return Terms(if_absent=True)
        if choice == 2 and stored is not None:
            return Terms(if_position=stored[1])
        if choice == 3 and told:
            return Terms(if_position=told[0])
        if choice == 4:
            return Terms(if_filter=Exact("colour", colour))
        return None

    @rule(
        steps=st.lists(
            st.tuples(st.sampled_from(("put", "update", "delete")), ids, colours, st.integers(0, 4), colours),
            min_size=1,
            max_size=4,
        )
    )
    def commit(self, steps: list[tuple[str, int, str, int, str]]) -> None:
        """A group, whose later operations see the earlier ones."""
        operations: list[Operation] = []
        for kind, doc_id, colour, choice, wanted in steps:
            terms = self.terms(choice, doc_id, wanted)
            if kind == "put":
                operation: Operation = put(doc_id, VECTOR, colour=colour)
                operation.terms = terms
            elif terms is not None and terms.if_absent:
                continue
            elif kind == "update":
                operation = UpdateMetadata(doc_id, {"colour": colour}, terms=terms)
            else:
                operation = Delete(doc_id, terms=terms)
            operations.append(operation)
        if operations:
            self.compare(operations, self.engine.commit(operations))

    def compare(self, operations: list[Operation], answers: Any) -> None:
        for operation, answer in zip(operations, answers, strict=True):
            assert isinstance(operation, (Put, Delete, UpdateMetadata))
            doc_id = operation.document.doc_id if isinstance(operation, Put) else int(operation.doc_id)
            if not self.holds(doc_id, operation.terms):
                assert isinstance(answer, (Aborted, AlreadyExists)), answer
                continue
            assert isinstance(answer, Ack), answer
            assert answer.existed == (doc_id in self.documents)
            if isinstance(operation, Put):
                self.documents[doc_id] = dict(operation.document.metadata), answer.lsn
            elif answer.existed and isinstance(operation, UpdateMetadata):
                self.documents[doc_id] = dict(operation.metadata), answer.lsn
            elif isinstance(operation, Delete):
                self.documents.pop(doc_id, None)

    @rule(doc_id=ids, key=st.sampled_from("abc"), colour=colours)
    def write_with_a_key(self, doc_id: int, key: str, colour: str) -> None:
        operation = put(doc_id, VECTOR, colour=colour)
        operation.terms = Terms(idempotency_key=key.encode())
        (answer,) = self.engine.commit([operation])
        known = self.acknowledged.get(key)
        if known is None:
            assert isinstance(answer, Ack)
            self.acknowledged[key] = operation, answer
            self.documents[doc_id] = {"colour": colour}, answer.lsn
        elif known[0].document.key == doc_id and known[0].document.metadata["colour"] == colour:  # type: ignore[union-attr]
            assert answer == known[1]
        else:
            assert isinstance(answer, InvalidArgument)

    @precondition(lambda self: self.documents)
    @rule(data=st.data())
    def tell(self, data: st.DataObject) -> None:
        """A client reads a document, and keeps its position for later."""
        doc_id = data.draw(st.sampled_from(sorted(self.documents)))
        self.told.insert(0, (doc_id, self.documents[doc_id][1]))

    @rule(kind=st.sampled_from(("flush", "merge", "restart", "kill")))
    def upkeep(self, kind: str) -> None:
        if kind == "flush":
            self.engine.flush()
        elif kind == "merge":
            self.engine.flush()
            settle(self.engine)
        elif kind == "restart":
            self.engine.close()
            self.engine = open_small(self.directory)
        else:
            copy = self.directory.with_name(self.directory.name + "x")
            shutil.copytree(self.directory, copy)
            self.engine.close()
            shutil.rmtree(self.directory)
            self.directory = copy
            self.engine = open_small(self.directory)

    @invariant()
    def shows_the_same(self) -> None:
        found = {doc_id: self.engine.get(doc_id) for doc_id in range(1, 5)}
        assert {
            doc_id: (one.metadata, one.position) for doc_id, one in found.items() if one is not None
        } == self.documents


TestConditions = ConditionsMachine.TestCase
TestConditions.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)

_WRITER = """
import sys, json, numpy as np, pykyro
db = pykyro.open(sys.argv[1], dimension=8)
for at in range(20):
    db.insert(at + 1, np.ones(8), {"at": at}, idempotency_key=f"key {at}")
    if at == 9:
        db.flush()
    print(json.dumps(db.position), flush=True)
sys.stdin.readline()
"""


def test_keys_and_positions_survive_kill_9_and_a_restore(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        positions = [json.loads(writer.stdout.readline()) for _ in range(20)]
        os.kill(writer.pid, signal.SIGKILL)
    backups = tmp_path / "backups"
    backups.mkdir()
    target = open_target(str(backups))
    create_backup(DISK, directory, target, SystemClock(), CreateOptions())
    catalog = read_catalog(target)
    plan = plan_backup(catalog, catalog.entries[0].record.id)
    restore(DISK, tmp_path / "restored", Store(target), plan, SystemClock(), allow_clear=False)
    for place in (tmp_path / "restored", directory):
        with pykyro.open(place, dimension=8) as database:
            assert [one.position for one in database.scroll()] == positions
            before = database.search(np.ones(8)).position
            for at in (0, 9, 10, 19):
                again = database.collection("default")
                again.insert(at + 1, np.ones(8), {"at": at}, idempotency_key=f"key {at}")
                assert again.position == positions[at]
            assert database.search(np.ones(8)).position == before
            with pytest.raises(InvalidArgument, match="was used for another write"):
                database.insert(1, np.ones(8), {"at": 1}, idempotency_key="key 0")


def without_positions(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have segments written as earlier versions did, until the result is called."""
    from pykyro.storage.segment import layout
    from pykyro.storage.segment.section_file import SectionWriter

    add = SectionWriter.add

    def add_others(self: SectionWriter, name: str, array: Any) -> None:
        if name != layout.POSITIONS:
            add(self, name, array)

    monkeypatch.setattr(SectionWriter, "add", add_others)
    return monkeypatch.undo


def test_documents_of_earlier_versions_have_a_position_that_outdates_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undo = without_positions(monkeypatch)
    engine = open_small(tmp_path)
    for doc_id in (1, 2, 3):
        engine.commit([put(doc_id, VECTOR)])
        engine.flush()
    engine.close()
    undo()
    engine = open_small(tmp_path)
    told = position(engine, 1)
    assert told >= 3
    (answer,) = engine.commit([UpdateMetadata(2, {"a": "b"}, terms=Terms(if_position=position(engine, 2)))])
    assert isinstance(answer, Ack)
    assert answer.lsn > told
    engine.flush()
    settle(engine)
    assert (position(engine, 1), position(engine, 2)) == (told, answer.lsn)
    engine.close()
    engine = open_small(tmp_path)
    assert (position(engine, 1), position(engine, 2)) == (told, answer.lsn)
    (stale,) = engine.commit([Delete(2, terms=Terms(if_position=told))])
    assert isinstance(stale, Aborted)
    (fresh,) = engine.commit([Delete(1, terms=Terms(if_position=told))])
    assert isinstance(fresh, Ack)
    engine.close()


def position(engine: Engine, doc_id: int) -> int:
    found = engine.get(doc_id)
    assert found is not None
    return found.position


def test_an_operation_sees_those_before_it_in_its_group(tmp_path: Path) -> None:
    engine = open_small(tmp_path)
    first, second = put(1, VECTOR, a="1"), put(1, VECTOR, a="2")
    first.terms = second.terms = Terms(if_absent=True)
    key = Terms(idempotency_key=b"key")
    answers = engine.commit(
        [
            first,
            second,
            Delete(1, terms=key),
            Delete(1, terms=key),
            Delete(2, terms=key),
            put(1, VECTOR, a="3"),
        ]
    )
    assert [type(answer) for answer in answers] == [Ack, AlreadyExists, Ack, Ack, InvalidArgument, Ack]
    assert answers[2] == answers[3]
    assert engine.get(1) is not None
    engine.close()


def test_a_batch_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    engine = open_small(tmp_path, documents_max=3)
    engine.commit([put(1, VECTOR)])
    (refused,) = engine.commit([PutMany([put(doc_id, VECTOR) for doc_id in (1, 2, 3, 4)])])
    assert isinstance(refused, KyroError)
    assert engine.documents == 1
    (stored,) = engine.commit([PutMany([put(doc_id, VECTOR) for doc_id in (1, 2, 3, 3)])])
    assert stored == Ack(2, 1)
    assert engine.documents == 3
    engine.close()


def test_only_who_uses_keys_raises_the_format(tmp_path: Path) -> None:
    engine = open_small(tmp_path)
    first = put(1, VECTOR)
    first.terms = Terms(if_absent=True)
    engine.commit([first])
    engine.flush()
    assert read_manifest(DISK, tmp_path).format == 1
    second = put(2, VECTOR)
    second.terms = Terms(idempotency_key=b"k")
    engine.commit([second])
    assert read_manifest(DISK, tmp_path).format == 4
    engine.flush()
    named = read_manifest(DISK, tmp_path).keys
    engine.commit([put(3, VECTOR)])
    engine.flush()
    assert named is not None
    assert read_manifest(DISK, tmp_path).keys == named, "written again though no key came"
    engine.close()


def test_who_has_most_keys_loses_the_oldest() -> None:
    account = Account("keys", Total())
    keys = RequestKeys(account, keys_max=4)
    for number, (owner, key) in enumerate([(1, b"a"), (2, b"a"), (2, b"b"), (2, b"c"), (2, b"d")]):
        keys.remember(Acknowledged(number, KeyRecord(owner, key, bytes(16), 0)))
    assert [one.record.key for one in keys.all()] == [b"a", b"b", b"c", b"d"]
    assert keys.of(1, b"a") is not None
    assert keys.of(2, b"a") is None
    held = account.used
    del keys
    assert held > 0
    assert account.used == 0
