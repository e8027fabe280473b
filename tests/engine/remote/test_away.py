"""The other side goes away and comes back; somebody else claims the table; the map of ids is lost."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from tests.engine.opening import fill, ids, open_small, vectors
from tests.engine.remote.opening import open_remote
from tests.engine.remote.postgres import Postgres

from pykyro.cache.query_cache import Mode
from pykyro.engine.engine import Engine
from pykyro.engine.options import CacheOptions
from pykyro.model.errors import (
    DataDirMismatch,
    FailedPrecondition,
    KyroError,
    ResourceExhausted,
    Unavailable,
)
from pykyro.model.filter import Exact
from pykyro.model.listing import PageRequest
from pykyro.model.requests import Delete, Put, SearchRequest, Tier, UpdateMetadata
from pykyro.model.types import EVERYTHING, Document

ROWS = vectors(60)


def filled(path: Path, services: Path, **options: Any) -> Engine:
    engine = open_remote(path, services, **({"cache": CacheOptions(query_mode=Mode.OFF)} | options))
    fill(engine, ROWS[:50], metadata={"colour": "red"})
    engine.flush()
    return engine


def again(engine: Engine) -> list[int]:
    """The nearest documents, as soon as the other side is found again."""
    until_s = time.monotonic() + 20
    while True:
        try:
            return ids(engine.search(SearchRequest(ROWS[3], 5)))
        except Unavailable:
            assert time.monotonic() < until_s
            time.sleep(0.05)


def test_reads_fail_and_say_why_writes_go_on_and_it_comes_back_by_itself(
    tmp_path: Path, postgres: Postgres
) -> None:
    engine = filled(tmp_path / "data", postgres.fresh())
    before = again(engine)
    postgres.stop()
    with pytest.raises(Unavailable, match="service 'kyrodb' does not answer"):
        engine.search(SearchRequest(ROWS[3], 5))
    with pytest.raises(Unavailable):
        engine.get(4, cached=False)
    with pytest.raises(Unavailable):
        engine.listing.count(Exact("colour", "red"), EVERYTHING)
    assert "the cold tier is away" in engine.stats().cold_tier_warning
    # What needs no look at the documents goes on: where each is, is known here.
    engine.write(Put(Document(4, ROWS[55])))
    assert engine.write(Delete(5)).existed == 1
    assert engine.write(Delete(5)).existed == 0
    assert engine.documents == engine.listing.count(None, EVERYTHING)[0] == 49
    with pytest.raises(Unavailable):
        engine.write(UpdateMetadata(6, {"n": "1"}, True))
    with pytest.raises(Unavailable):
        engine.flush()
    postgres.start()
    assert again(engine) == [doc_id for doc_id in before if doc_id not in (4, 5)] + again(engine)[-1:]
    assert engine.stats().cold_tier_warning == ""
    assert engine.flush().documents == 1
    found = engine.get(4)
    assert found is not None
    assert found.vector.tolist() == ROWS[55].tolist()
    assert engine.get(5) is None
    engine.close()


def test_searches_may_be_partial_instead(tmp_path: Path, postgres: Postgres) -> None:
    engine = filled(tmp_path / "data", postgres.fresh(), remote={"partial": True})
    engine.write(Put(Document(100, ROWS[55])))
    postgres.stop()
    result = engine.search(SearchRequest(ROWS[3], 5))
    assert ids(result) == [100]
    assert result.left_out == {Tier.COLD}
    assert "does not answer" in result.note
    with pytest.raises(Unavailable):  # an exact answer is exact
        engine.search(SearchRequest(ROWS[3], 5, exact=True))
    postgres.start()
    engine.close()


def test_writes_are_refused_when_too_much_waits(tmp_path: Path, postgres: Postgres) -> None:
    options: dict[str, Any] = {"remote": {"backlog_bytes_max": 1 << 20}, "background": True}
    engine = filled(tmp_path / "data", postgres.fresh(), **options)
    postgres.stop()
    refusals = []
    for doc_id in range(1000, 1000 + 400):
        (answer,) = engine.commit([Put(Document(doc_id, ROWS[1], {"text": "x" * 5000}))])
        if isinstance(answer, KyroError):
            refusals.append(answer)
            break
    assert refusals
    assert isinstance(refusals[0], ResourceExhausted)
    assert "nothing can be sealed" in str(refusals[0])
    acknowledged = doc_id - 1000
    assert engine.write(Delete(1)).existed == 1
    postgres.start()
    until_s = time.monotonic() + 60
    while isinstance(engine.commit([Put(Document(999, ROWS[1]))])[0], KyroError):
        assert time.monotonic() < until_s
        time.sleep(0.1)
    engine.flush()
    assert engine.documents == 50 + acknowledged
    engine.close()


def test_it_opens_without_the_other_side(tmp_path: Path, postgres: Postgres) -> None:
    services = postgres.fresh()
    filled(tmp_path / "data", services).close()
    postgres.stop()
    engine = open_remote(tmp_path / "data", services)
    engine.write(Put(Document(3, ROWS[55])))
    assert engine.documents == 50
    postgres.start()
    assert len(again(engine)) == 5
    engine.flush()
    assert engine.listing.count(Exact("colour", "red"), EVERYTHING)[0] == 49
    engine.close()


def test_a_second_writer_is_told_who_the_first_is(tmp_path: Path, postgres: Postgres) -> None:
    services = postgres.fresh()
    engine = filled(tmp_path / "data", services)
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in (tmp_path / "data").iterdir():
        if file.is_file():
            shutil.copy(file, copy / file.name)
    # The copy waits ten seconds for a process that may have been killed.
    import pykyro.engine.remote.claim as claim

    waited, claim._WAIT_S = claim._WAIT_S, 0.2  # type: ignore[misc]
    try:
        with pytest.raises(
            FailedPrecondition, match=rf"in use by another writer, process \d+ on .*{tmp_path}"
        ):
            open_remote(copy, services)
    finally:
        claim._WAIT_S = waited  # type: ignore[misc]
    engine.close()
    # Now the copy may have it; then the first is refused, whatever it had acknowledged.
    other = open_remote(copy, services)
    other.write(Put(Document(1, ROWS[55])))
    other.flush()
    other.close()
    with pytest.raises(FailedPrecondition, match=f"claimed by another writer.*{copy}"):
        open_remote(tmp_path / "data", services)


def test_a_writer_that_is_overtaken_while_it_is_open(tmp_path: Path, postgres: Postgres) -> None:
    engine = filled(tmp_path / "data", postgres.fresh())
    postgres.execute("UPDATE kyrodb.collections SET writer = 'other', holder = 'somebody'")
    with pytest.raises(FailedPrecondition, match="claimed by another writer, somebody"):
        engine.search(SearchRequest(ROWS[3], 5))
    engine.write(Put(Document(1, ROWS[55])))
    with pytest.raises(FailedPrecondition, match="somebody"):
        engine.flush()
    assert "somebody" in engine.stats().cold_tier_warning
    engine.close()


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_map_of_ids_that_is_lost_is_made_anew(tmp_path: Path, postgres: Postgres, damage: str) -> None:
    services = postgres.fresh()
    engine = filled(tmp_path / "data", services)
    engine.write(Delete(7))
    engine.write(Put(Document(8, ROWS[55])))
    engine.close()
    for path in (tmp_path / "data").glob("*.ids"):
        if damage == "missing":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:100] + b"x" + path.read_bytes()[101:])
    engine = open_remote(tmp_path / "data", services)
    page = engine.listing.page(PageRequest(1000, None, EVERYTHING))
    assert [one.doc_id for one in page.documents] == [n for n in range(1, 51) if n != 7]
    assert engine.documents == 49
    engine.write(Delete(9))
    engine.flush()
    engine.close()
    engine = open_remote(tmp_path / "data", services)
    assert engine.documents == 48
    assert engine.get(9) is None
    engine.close()


def test_an_older_table_is_refused(tmp_path: Path, postgres: Postgres) -> None:
    services = postgres.fresh()
    engine = filled(tmp_path / "data", services)
    postgres.execute("UPDATE kyrodb.collections SET sealed_position = sealed_position - 1")
    with pytest.raises(FailedPrecondition, match="an older backup of the table was restored"):
        engine.search(SearchRequest(ROWS[3], 5))
    engine.close()
    with pytest.raises(FailedPrecondition, match="an older backup of the table was restored"):
        open_remote(tmp_path / "data", services)


def test_an_older_directory_is_refused(tmp_path: Path, postgres: Postgres) -> None:
    services = postgres.fresh()
    filled(tmp_path / "data", services).close()
    postgres.execute("UPDATE kyrodb.collections SET sealed_position = sealed_position + 1000")
    with pytest.raises(FailedPrecondition, match="the directory was restored from an older backup"):
        open_remote(tmp_path / "data", services)


def test_the_directory_has_its_own_format_and_not_the_way_to_the_server(
    tmp_path: Path, postgres: Postgres
) -> None:
    services = postgres.fresh()
    services.write_text(services.read_text() + "password=a-secret\n")
    filled(tmp_path / "data", services).close()
    assert (tmp_path / "data" / "MANIFEST").read_bytes().startswith(b"KYRODB-MANIFEST 6 ")
    open_small(tmp_path / "local").close()
    assert (tmp_path / "local" / "MANIFEST").read_bytes().startswith(b"KYRODB-MANIFEST 1 ")
    for path in (tmp_path / "data").iterdir():
        if path.is_file():
            assert b"a-secret" not in path.read_bytes()
            assert postgres.host.encode() not in path.read_bytes()


def test_the_kind_of_cold_tier_cannot_change(tmp_path: Path, services: Path) -> None:
    filled(tmp_path / "data", services).close()
    from pykyro.model.cold_tier import ColdTier

    with pytest.raises(DataDirMismatch, match="the cold tier of the directory is postgres; asked for local"):
        open_small(tmp_path / "data", cold_tier=ColdTier())


def test_what_reads_documents_from_files_is_refused(tmp_path: Path, services: Path) -> None:
    from pykyro.migration.frozen_copy import copy_directory
    from pykyro.storage.files.filesystem import LocalFileSystem

    filled(tmp_path / "data", services).close()
    with pytest.raises(FailedPrecondition, match=r"an export .* is not possible"):
        copy_directory(LocalFileSystem(), tmp_path / "data", tmp_path / "copy")
