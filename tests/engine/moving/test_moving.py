"""Sealed documents move to PostgreSQL and back, while everything goes on, killed and cut at every step."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engine.opening import fill, open_small, settle, vectors
from tests.engine.remote.opening import POSTGRES
from tests.engine.remote.postgres import Postgres

from pykyro.cache.query_cache import Mode
from pykyro.engine.engine import Engine
from pykyro.engine.moving import table_copy
from pykyro.engine.options import CacheOptions, RemoteOptions
from pykyro.model.cold_tier import ColdTier
from pykyro.model.errors import FailedPrecondition, KyroError
from pykyro.model.filter import Exact
from pykyro.model.listing import PageRequest
from pykyro.model.requests import Delete, Put, SearchRequest, UpdateMetadata
from pykyro.model.types import EVERYTHING, Document, Scope
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.manifest import read_manifest

ROWS = vectors(600)
LOCAL = ColdTier()
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
Documents = dict[tuple[int | None, int], tuple[bytes, dict[str, str]]]


class Killed(BaseException):
    """Nobody expects it."""


def opened(path: Path, services: Path, **options: Any) -> Engine:
    return open_small(
        path,
        remote=RemoteOptions(services_file=services),
        ef_construction=40,
        cache=CacheOptions(query_mode=Mode.OFF),
        **options,
    )


def filled(path: Path, services: Path) -> Engine:
    """With several segments, deleted rows, updates, tenants, and some that is not sealed."""
    engine = opened(path, services)
    for part in range(3):
        fill(
            engine, ROWS[100 * part : 100 * part + 100], first_id=1 + 100 * part, metadata={"part": str(part)}
        )
        for doc_id in range(5 + 30 * part, 15 + 30 * part):
            engine.write(Delete(doc_id))
        engine.flush()
    numbers = engine.tenant_indices(["one"])
    scope = Scope(numbers["one"])
    for doc_id in range(1, 20):
        engine.write(Put(Document(doc_id, ROWS[-doc_id], {**scope.constraints, "own": "x"}, numbers["one"])))
    engine.flush()
    for doc_id in (100, 200, 250):
        engine.write(UpdateMetadata(doc_id, {"more": "x"}, True))
        engine.write(Delete(doc_id + 1))
        engine.write(Put(Document(doc_id + 2, ROWS[doc_id + 50], {"new": "y"})))
    return engine


def documents(engine: Engine) -> Documents:
    found: Documents = {}
    numbers = engine.tenant_indices(list(engine.tenant_documents())).values()
    for scope in (EVERYTHING, *map(Scope, numbers)):
        for one in engine.listing.page(PageRequest(10_000, None, scope)).documents:
            assert isinstance(one.doc_id, int)
            document = engine.get(one.doc_id, scope, cached=False)
            assert document is not None
            found[scope.tenant, one.doc_id] = document.vector.tobytes(), dict(document.metadata)
    return found


def is_elsewhere(engine: Engine) -> bool:
    return engine.asks_elsewhere


def answers(engine: Engine) -> list[Any]:
    found = []
    for row in ROWS[::60]:
        for condition in (None, Exact("part", "1")):
            result = engine.search(SearchRequest(row, 7, filter=condition, exact=True))
            found.append([(hit.doc_id, hit.score) for hit in result.hits])
    return found


def tables(postgres: Postgres) -> list[str]:
    if postgres.execute("SELECT to_regclass('kyrodb.collections')") == [(None,)]:
        return []
    return [name for (name,) in postgres.execute("SELECT id FROM kyrodb.collections")]


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


def killed(engine: Engine, to: ColdTier, step: str, tmp_path: Path, postgres: Postgres) -> Path:
    """What the disk holds when the process dies at that step."""
    path = tmp_path / "killed"

    def die(at: str) -> None:
        if at == step:
            shutil.copytree(engine.directory, path)
            raise Killed

    with pytest.raises(Killed):
        engine.move(to, die)
    engine.close()
    postgres.cut()
    return path


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


def test_who_asks_for_the_same_move_waits_for_it_and_another_is_refused(
    tmp_path: Path, postgres: Postgres
) -> None:
    engine = filled(tmp_path / "data", postgres.fresh())
    reports = list[Any]()
    others = [threading.Thread(target=lambda: reports.append(engine.move(POSTGRES))) for _ in range(3)]

    def meanwhile(at: str) -> None:
        if at == "copied" and not others[0].ident:
            with pytest.raises(FailedPrecondition, match="are being moved to postgres; when that is done"):
                engine.move(LOCAL)
            for other in others:
                other.start()

    report = engine.move(POSTGRES, meanwhile)
    for other in others:
        other.join()
    # Who came too late to wait found them there.
    assert [one for one in reports if one.copied not in (0, report.copied)] == []
    assert len(reports) == 3
    assert is_elsewhere(engine)
    engine.close()


def test_a_move_that_was_not_ended_is_told_at_the_start_and_can_be_given_up(
    tmp_path: Path, postgres: Postgres
) -> None:
    services = postgres.fresh()
    engine = filled(tmp_path / "data", services)
    before = documents(engine)
    path = killed(engine, POSTGRES, "index", tmp_path, postgres)
    engine = opened(path, services)
    assert ["was interrupted" in warning for warning in engine.recovered.warnings] == [True]
    assert len(tables(postgres)) == 1
    assert engine.move(LOCAL).copied == 0
    assert tables(postgres) == []
    engine.move(POSTGRES)
    engine.close()
    engine = opened(path, services)
    assert engine.recovered.warnings == []
    postgres_stopped = False

    def stop(at: str) -> None:
        nonlocal postgres_stopped
        if at == "installed":
            postgres.stop()
            postgres_stopped = True

    engine.move(LOCAL, stop)
    assert postgres_stopped
    assert documents(engine) == before
    engine.close()
    engine = opened(path, services)
    assert ["still to be dropped" in warning for warning in engine.recovered.warnings] == [True]
    postgres.start()
    engine.move(LOCAL)
    assert tables(postgres) == []
    assert documents(engine) == before
    engine.close()


def test_a_reader_beside_is_refused_while_documents_are_elsewhere(tmp_path: Path, postgres: Postgres) -> None:
    import pykyro

    services = postgres.fresh()
    with pykyro.open(tmp_path / "data", dimension=ROWS.shape[1], cold_tier_services=services) as writer:
        writer.insert_many(enumerate(ROWS[:100], 1))
        writer.flush()
        with pykyro.open(tmp_path / "data", read_only=True) as reader:
            assert reader.count() == 100
            writer.move_collection("default", "postgres")
            for read in (reader.count, lambda: reader.search(ROWS[3], 1), lambda: reader.get(4)):
                with pytest.raises(FailedPrecondition, match="its sealed documents are in the table"):
                    read()
            writer.delete(1)
            with pytest.raises(FailedPrecondition, match="its sealed documents are in the table"):
                pykyro.open(tmp_path / "data", read_only=True).count()
            writer.move_collection("default", "local")
            assert reader.count() == 99
            assert reader.search(ROWS[3], 1)[0].id == 4


def test_text_options_stay_here(tmp_path: Path, services: Path) -> None:
    from pykyro.model.words import checked_words

    engine = opened(
        tmp_path / "data", services, words=checked_words({"keys": ["body"], "language": "english"})
    )
    with pytest.raises(FailedPrecondition, match="text options cannot be moved"):
        engine.move(POSTGRES)
    engine.close()
    assert read_manifest(LocalFileSystem(), tmp_path / "data").remote is None
