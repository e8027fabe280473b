"""A compaction leaves one segment without deleted rows, whatever goes on beside it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.engine.opening import open_small, put, vectors

import pykyro
from pykyro.engine.engine import Engine
from pykyro.model.errors import ResourceExhausted
from pykyro.model.requests import Delete, SearchRequest
from pykyro.model.types import Vector

ROWS = vectors(1200)


def filled(path: Path, count: int = 1200) -> Engine:
    """In several segments, every second document deleted since."""
    engine = open_small(path)
    for at in range(count):
        engine.write(put(at, ROWS[at], number=str(at)))
        if at % 300 == 299:
            engine.flush()
    for at in range(0, count, 2):
        engine.write(Delete(at))
    return engine


def found(engine: Engine, query: Vector) -> list[tuple[int, float]]:
    return [(hit.doc_id, hit.score) for hit in engine.search(SearchRequest(query, 20, exact=True)).hits]


def test_the_space_of_deleted_documents_comes_back(tmp_path: Path) -> None:
    engine, fresh = filled(tmp_path / "data"), open_small(tmp_path / "fresh")
    for at in range(1, 1200, 2):
        fresh.write(put(at, ROWS[at], number=str(at)))
    fresh.flush()
    before = [found(engine, query) for query in ROWS[:20]]
    report = engine.compact()
    assert (report.documents, report.segments_before, report.segments) == (600, 4, 1)
    assert report.bytes < report.bytes_before
    assert report.bytes <= 1.1 * fresh.compact().bytes
    assert engine.stats().dead_rows == 0
    assert [found(engine, query) for query in ROWS[:20]] == before
    again = engine.compact()
    assert (again.segments, again.bytes) == (1, report.bytes)
    engine.close()
    fresh.close()
    engine = open_small(tmp_path / "data")
    assert [found(engine, query) for query in ROWS[:20]] == before
    engine.close()


def test_of_a_database_whose_documents_are_all_deleted_no_segment_is_left(tmp_path: Path) -> None:
    engine = filled(tmp_path / "data", 600)
    for at in range(600):
        engine.write(Delete(at))
    report = engine.compact()
    assert (report.documents, report.segments, report.bytes) == (0, 0, 0)
    assert found(engine, ROWS[0]) == []
    engine.close()


def test_reads_and_writes_go_on_beside_it(tmp_path: Path) -> None:
    engine, stop, wrong = filled(tmp_path / "data"), threading.Event(), []

    def change() -> None:
        at = 1200
        while not stop.is_set():
            engine.write(put(at, ROWS[at % 1200], number=str(at)))
            engine.write(Delete(at))
            if found(engine, ROWS[1])[0][0] != 1:
                wrong.append(at)
            at += 1

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(3):
            assert engine.compact().documents in (600, 601)
    finally:
        stop.set()
        changing.join()
    assert not wrong
    assert engine.stats().documents == 600
    engine.close()


def test_what_there_is_no_memory_for_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    engine = filled(tmp_path / "data")
    engine.flush()
    budget = engine._context.memory.budget
    held = budget.account("others").charge(budget.limit_bytes)
    with pytest.raises(ResourceExhausted, match=r"600 deleted rows stay in .* raise memory.limit"):
        engine.compact()
    held.give_back()
    assert engine.compact().segments == 1
    assert engine.stats().documents == 600
    engine.close()


def test_an_embedded_program_compacts_a_collection(tmp_path: Path) -> None:
    with pykyro.open(tmp_path / "data", dimension=8) as db:
        db.create_collection("pictures", dimension=8)
        for documents in (db, db.collection("pictures")):
            for at in range(1, 11):
                documents.insert(at, ROWS[at])
            documents.delete_many(range(1, 6))
            assert documents.compact().documents == 5
