"""A bound on documents is told of at nine tenths, in the log and in health, and names its setting; there is none
unless somebody set one."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine.opening import DIMENSION, fill, open_small, put, vectors

import pykyro
from pykyro.engine.options import EngineOptions
from pykyro.model.errors import ResourceExhausted
from pykyro.model.limits import COUNT_MAX
from pykyro.model.requests import DeleteMany


def messages(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "pykyro.engine.capacity"]


def test_there_is_no_bound_unless_it_is_set() -> None:
    assert EngineOptions(dimension=DIMENSION).documents_max == COUNT_MAX


def test_nine_tenths_are_a_warning_and_the_last_document_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = open_small(tmp_path / "data", documents_max=10, documents_max_name="hnsw.max_elements")
    rows = vectors(11)
    fill(engine, rows[:8])
    assert (engine.stats().capacity_warning, messages(caplog)) == ("", [])
    fill(engine, rows[8:9], first_id=9)
    assert "nearly full: 9 documents of hnsw.max_elements = 10" in engine.stats().capacity_warning
    fill(engine, rows[9:10], first_id=10)
    assert "the database is full: 10 documents, hnsw.max_elements = 10" in engine.stats().capacity_warning
    with pytest.raises(
        ResourceExhausted, match=r"HNSW index full: 10 .* raise hnsw.max_elements, or leave it out"
    ):
        engine.write(put(11, rows[10]))
    assert engine.write(put(10, rows[10])).existed == 1
    engine.write(DeleteMany(list(range(1, 6))))
    assert engine.stats().capacity_warning == ""
    engine.close()
    assert [level for level, _ in messages(caplog)] == ["WARNING", "ERROR", "WARNING", "WARNING"]
    assert "new documents are accepted again" in messages(caplog)[2][1]


def test_more_documents_than_the_bound_are_told_of_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pykyro.open(tmp_path / "data", dimension=DIMENSION) as database:
        database.insert_many(enumerate(vectors(5), start=1))
        assert database.stats().documents_max == COUNT_MAX
    with pykyro.open(tmp_path / "data", dimension=DIMENSION, documents_max=3) as database:
        ((level, said),) = messages(caplog)
        assert level == "ERROR"
        assert "the database is full: 5 documents, documents_max = 3. New ones are refused" in said
        health = database.health()
        assert health.status == "degraded"
        assert "5 documents, documents_max = 3" in health.components["cold_tier"]
        with pytest.raises(ResourceExhausted, match="documents_max"):
            database.insert(6, vectors(1)[0])
        database.insert(5, vectors(1)[0])
