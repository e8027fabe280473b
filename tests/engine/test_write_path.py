"""What commits do, and what they refuse."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from tests.engine.opening import DIMENSION, fill, open_small, put, vectors

from pykyro.engine import room
from pykyro.engine.engine import open_engine
from pykyro.engine.options import EngineOptions
from pykyro.memory.budget import MemoryBudget
from pykyro.model.errors import ResourceExhausted, Unavailable
from pykyro.model.filter import Anything, Exact
from pykyro.model.requests import Ack, Delete, DeleteMany, DeleteMatching, UpdateMetadata
from pykyro.model.types import NAMESPACE_KEY, Scope


def test_a_put_replaces_the_document_wholly_in_every_tier(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    first, second = vectors(2)
    assert engine.write(put(1, first, a="1", b="2")).existed == 0
    for generation in range(3):
        assert engine.write(put(1, second, c=str(generation))).existed == 1
        found = engine.get(1)
        assert found is not None
        assert found.metadata == {"c": str(generation)}
        assert engine.stats().documents == 1
        engine.flush()
    engine.close()


def test_update_merges_or_replaces_and_keeps_reserved_keys(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    engine.write(put(1, vectors(1)[0], a="1", **{NAMESPACE_KEY: "n"}))
    for _ in range(2):
        assert engine.write(UpdateMetadata(1, {"b": "2"}, merge=True)).existed == 1
        found = engine.get(1, Scope(namespace="n"))
        assert found is not None
        assert found.metadata == {"a": "1", "b": "2"}
        engine.flush()
    engine.write(UpdateMetadata(1, {"z": "9"}))
    found = engine.get(1, Scope(namespace="n"))
    assert found is not None
    assert found.metadata == {"z": "9"}
    assert found.vector.tobytes() == vectors(1)[0].tobytes()
    engine.close()


def test_operations_of_one_group_see_each_other(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    row = vectors(1)[0]
    answers = engine.commit(
        [
            put(1, row, a="1"),
            UpdateMetadata(1, {"b": "2"}, merge=True),
            put(2, row, keep="no"),
            DeleteMatching(Exact("keep", "no")),
            Delete(2),
            put(2, row),
        ]
    )
    assert [answer.existed for answer in answers if isinstance(answer, Ack)] == [0, 1, 0, 1, 0, 0]
    found = engine.get(1)
    assert found is not None
    assert found.metadata == {"a": "1", "b": "2"}
    assert engine.stats().documents == 2
    engine.close()


def test_a_full_database_refuses_new_documents_and_takes_replacements(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data", documents_max=3)
    rows = vectors(5)
    answers = engine.commit([put(doc_id, row) for doc_id, row in zip((1, 2, 3, 4, 1), rows, strict=True)])
    assert [type(answer) for answer in answers] == [Ack, Ack, Ack, ResourceExhausted, Ack]
    assert "HNSW index full: 3 elements (max 3)" in str(answers[3])
    engine.write(Delete(2))
    assert engine.write(put(4, rows[0])).existed == 0
    engine.close()


def test_delete_many_counts_each_document_once(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    fill(engine, vectors(10))
    engine.flush()
    fill(engine, vectors(5), first_id=11)
    assert engine.write(DeleteMany([1, 1, 2, 11, 99])).existed == 3
    assert engine.write(DeleteMatching(Anything())).existed == 12
    assert engine.stats().documents == 0
    engine.close()


def test_concurrent_writers_share_fsyncs_and_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As long as one takes, the others can come.
    monkeypatch.setattr(os, "fdatasync", lambda _: time.sleep(0.001))
    engine = open_engine(tmp_path / "data", EngineOptions(dimension=DIMENSION, background=False))
    rows = vectors(8 * 50)
    barrier = threading.Barrier(8)
    lsns: list[int] = []

    def write(worker: int) -> None:
        barrier.wait()
        lsns.extend(engine.write(put(at + 1, rows[at])).lsn for at in range(worker, len(rows), 8))

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = engine.stats()
    assert stats.documents == len(rows)
    assert len(set(lsns)) == len(rows)
    assert stats.wal_syncs < stats.wal_writes
    engine.close()
    with_replay = open_small(tmp_path / "data")
    assert with_replay.stats().documents == len(rows)
    with_replay.close()


def test_a_closed_engine_refuses_writes(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    engine.close()
    engine.close()
    with pytest.raises(Unavailable, match="closed"):
        engine.write(put(1, vectors(1)[0]))


def test_a_write_that_was_interrupted_is_told_until_the_database_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_small(tmp_path / "data")
    rows = vectors(3)
    engine.write(put(1, rows[0]))
    assert engine.stats().refusing_writes == ""

    def out_of_memory(lsn: int, records: object) -> None:
        # While a write is on its way nothing is wrong yet.
        assert engine.stats().refusing_writes == ""
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(engine._context.state, "apply", out_of_memory)
        with pytest.raises(MemoryError):
            engine.write(put(2, rows[1]))
    assert "left memory behind the log" in engine.stats().refusing_writes
    with pytest.raises(Unavailable, match="left memory behind the log"):
        engine.write(put(3, rows[2]))
    found = engine.get(1)
    assert found is not None
    engine.close()

    again = open_small(tmp_path / "data")
    assert again.stats().refusing_writes == ""
    assert again.write(put(2, rows[1])).existed == 1
    again.close()


def test_writes_without_room_are_refused_and_told_of_and_deletes_go_through(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    budget = MemoryBudget(64 << 20, measure=None)
    engine = open_small(tmp_path / "data", memory=budget)
    row = vectors(1)[0]
    engine.write(put(1, row))
    others = budget.account("streams").charge(60 << 20)
    for _ in range(2):
        engine._context.memory.refresh(engine._context.state.hot_bytes)
        with pytest.raises(
            ResourceExhausted, match=r"memory is short: 60 MiB .* \(streams 60 MiB"
        ) as refusal:
            engine.write(put(2, row))
        assert refusal.value.retry_after_s
    assert "writes have been refused for 0 s: memory is short" in engine.stats().room_warning
    assert engine.write(Delete(1)).existed == 1
    others.give_back()
    engine.write(put(3, row))
    assert engine.stats().room_warning == ""
    engine.close()
    lines = [(record.levelname, record.getMessage()[:30]) for record in caplog.records]
    assert lines == [
        ("ERROR", "writes are refused: memory is "),
        ("WARNING", "writes are accepted again: the"),
    ]


def test_writers_wait_no_longer_for_room_than_once_after_it_ran_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each group of a queue waited for itself, so the last of them waited for ten minutes."""
    monkeypatch.setattr(room, "WAIT_S", 0.2)
    budget = MemoryBudget(64 << 20, measure=None)
    engine = open_small(tmp_path / "data", memory=budget, background=True)
    with budget.account("streams").charge(60 << 20):
        engine._context.writes.room.look()
        waits: list[float] = []

        def noted(wait_s: float) -> None:
            waits.append(wait_s)
            time.sleep(wait_s)

        monkeypatch.setattr(engine._context.writes.room._freed, "wait", noted)
        for doc_id in range(1, 6):
            with pytest.raises(ResourceExhausted, match="memory is short"):
                engine.write(put(doc_id, vectors(1)[0]))
        assert 0 < sum(waits) < 0.3
    engine.write(put(1, vectors(1)[0]))
    engine.close()
