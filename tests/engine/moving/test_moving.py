"""Sealed documents move to PostgreSQL and back, while everything goes on, killed and cut at every step."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from tests.engine.moving.moved import (
    LOCAL,
    ROWS,
    answers,
    documents,
    filled,
    is_elsewhere,
    killed,
    opened,
    tables,
)
from tests.engine.opening import fill, settle
from tests.engine.remote.opening import POSTGRES
from tests.engine.remote.postgres import Postgres

from pykyro.engine.moving import table_copy
from pykyro.model.errors import FailedPrecondition, KyroError
from pykyro.model.requests import Delete, Put, SearchRequest, UpdateMetadata
from pykyro.model.types import Document

OUTWARD = (
    "noted",
    "claimed",
    "copied",
    "index",
    "switch",
    "commit",
    "committed",
    "manifest",
    "installed",
    "removed",
)
INWARD = ("copied", "switch", "manifest", "installed")


def test_there_and_back_everything_stays_as_it_is(tmp_path: Path, postgres: Postgres) -> None:
    services = postgres.fresh()
    engine = filled(tmp_path / "data", services)
    before, found, position = documents(engine), answers(engine), engine.stats().position
    report = engine.move(POSTGRES)
    assert report.compared > 8
    assert report.copied >= report.documents == len(before)
    assert is_elsewhere(engine)
    assert (documents(engine), answers(engine)) == (before, found)
    assert engine.stats().position >= position
    assert not list((tmp_path / "data").glob("*.rows"))
    assert not (tmp_path / "data" / "MOVING").exists()
    engine.write(Delete(50))
    engine.write(UpdateMetadata(60, {"later": "z"}, True))
    engine.flush()
    assert engine.move(POSTGRES).copied == 0
    engine.close()
    engine = opened(tmp_path / "data", services)
    assert is_elsewhere(engine)
    expected, found = documents(engine), answers(engine)
    assert expected.keys() == before.keys() - {(None, 50)}
    engine.write(Delete(51))
    del expected[None, 51]
    assert engine.move(LOCAL).documents == len(expected)
    assert not is_elsewhere(engine)
    assert tables(postgres) == []
    assert not (tmp_path / "data" / "MOVING").exists()
    assert documents(engine) == expected
    fill(engine, ROWS[500:], first_id=1000)
    engine.flush()
    settle(engine)
    engine.close()
    engine = opened(tmp_path / "data", services)
    assert len(documents(engine)) == len(expected) + 100
    assert engine.stats().documents == len(expected) + 100
    engine.close()


@pytest.mark.parametrize("step", OUTWARD)
def test_killed_on_the_way_there(tmp_path: Path, postgres: Postgres, step: str) -> None:
    services = postgres.fresh()
    engine = filled(tmp_path / "data", services)
    before, found = documents(engine), answers(engine)
    path = killed(engine, POSTGRES, step, tmp_path, postgres)
    engine = opened(path, services)
    assert (documents(engine), answers(engine)) == (before, found)
    engine.write(Delete(50))
    engine.write(UpdateMetadata(60, {"later": "z"}, True))
    engine.flush()
    settle(engine)
    expected = documents(engine)
    report = engine.move(POSTGRES)
    if step in ("index", "switch", "commit", "committed", "manifest"):
        assert report.copied < 20, "it went on"
    assert documents(engine) == expected
    engine.close()
    engine = opened(path, services)
    assert documents(engine) == expected
    assert len(tables(postgres)) == 1
    assert not (path / "MOVING").exists()
    engine.close()


@pytest.mark.parametrize("step", INWARD)
def test_killed_on_the_way_back(
    tmp_path: Path, postgres: Postgres, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pykyro.engine.moving import inward

    monkeypatch.setattr(inward, "_LITTLE", 100)
    monkeypatch.setattr(inward, "_READ_TOGETHER", 40)
    monkeypatch.setattr(inward, "_SEGMENT_BYTES", 1 << 15)
    services = postgres.fresh()
    engine = filled(tmp_path / "data", services)
    engine.move(POSTGRES)
    engine.write(Delete(50))
    before, found = documents(engine), answers(engine)
    path = killed(engine, LOCAL, step, tmp_path, postgres)
    engine = opened(path, services)
    assert (documents(engine), answers(engine)) == (before, found)
    engine.write(UpdateMetadata(60, {"later": "z"}, True))
    expected = documents(engine)
    engine.move(LOCAL)
    assert documents(engine) == expected
    engine.close()
    engine = opened(path, services)
    assert documents(engine) == expected
    assert tables(postgres) == []
    assert not (path / "MOVING").exists()
    engine.close()


@pytest.mark.parametrize("step", ["claimed", "copied", "index", "switch", "commit", "committed"])
def test_cut_off_on_the_way_there_it_is_tried_again(tmp_path: Path, postgres: Postgres, step: str) -> None:
    engine = filled(tmp_path / "data", postgres.fresh())
    before = documents(engine)
    cuts: list[int] = []

    def cut(at: str) -> None:
        if at == step and not cuts:
            cuts.append(postgres.cut())

    try:
        engine.move(POSTGRES, cut)
    except KyroError:
        assert not is_elsewhere(engine)
        assert documents(engine) == before
        engine.move(POSTGRES)
    assert cuts
    assert is_elsewhere(engine)
    assert documents(engine) == before
    engine.close()


def test_a_copy_that_differs_never_takes_the_place(tmp_path: Path, postgres: Postgres) -> None:
    engine = filled(tmp_path / "data", postgres.fresh())
    before = documents(engine)

    def spoil(at: str) -> None:
        if at == "committed":
            (table,) = tables(postgres)
            postgres.execute(f"UPDATE kyrodb.rows_{table} SET embedding = embedding + embedding")

    with pytest.raises(FailedPrecondition, match="not the same in the copy"):
        engine.move(POSTGRES, spoil)

    def lose(at: str) -> None:
        if at == "switch":
            (table,) = tables(postgres)
            postgres.execute(f"DELETE FROM kyrodb.rows_{table} WHERE row = 7")

    with pytest.raises(FailedPrecondition, match="somebody else writes to it, or it lost"):
        engine.move(POSTGRES, lose)
    assert not is_elsewhere(engine)
    assert documents(engine) == before
    engine.close()


def test_searches_and_writes_go_on(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer replaces, deletes and adds with all its might; each search finds what was acknowledged before."""
    monkeypatch.setattr(table_copy, "ROWS_TOGETHER", 20)
    services = postgres.fresh()
    engine = opened(tmp_path / "data", services, background=True, hot_rows_max=50)
    fill(engine, ROWS[:300], first_id=1)
    engine.flush()
    model: dict[int, bytes] = {doc_id: ROWS[doc_id - 1].tobytes() for doc_id in range(1, 301)}
    stop, faults = threading.Event(), list[BaseException]()

    def write() -> None:
        random = np.random.default_rng(1)
        try:
            while not stop.is_set():
                doc_id = int(random.integers(1, 500))
                if random.random() < 0.3:
                    existed = engine.write(Delete(doc_id)).existed
                    assert bool(existed) == (model.pop(doc_id, None) is not None)
                elif random.random() < 0.3 and doc_id in model:
                    engine.write(UpdateMetadata(doc_id, {"n": str(random.integers(100))}, True))
                else:
                    row = ROWS[int(random.integers(len(ROWS)))]
                    engine.write(Put(Document(doc_id, row)))
                    model[doc_id] = row.tobytes()
                found = engine.get(doc_id, cached=False)
                assert (None if found is None else found.vector.tobytes()) == model.get(doc_id)
        except BaseException as error:
            faults.append(error)

    def search() -> None:
        try:
            while not stop.is_set():
                assert len(engine.search(SearchRequest(ROWS[5], 5)).hits) == 5
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for work in (write, search)]
    for thread in threads:
        thread.start()
    try:
        engine.move(POSTGRES)
        engine.move(LOCAL)
        engine.move(POSTGRES)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert faults == []
    for again in range(2):
        found = {doc_id: vector for (_, doc_id), (vector, _) in documents(engine).items()}
        assert found == model
        engine.close()
        if not again:
            engine = opened(tmp_path / "data", services)
