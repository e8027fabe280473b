"""What else meets a move: who asks for it too, who starts after one that was not ended, readers, text options."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from tests.engine.moving.moved import (
    LOCAL,
    ROWS,
    documents,
    filled,
    is_elsewhere,
    killed,
    opened,
    tables,
)
from tests.engine.remote.opening import POSTGRES
from tests.engine.remote.postgres import Postgres

from pykyro.model.errors import FailedPrecondition
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.manifest import read_manifest


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
