"""Reads beside writes and seals; a table with an index; many hidden rows; maps of ids."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap
from tests.engine.opening import fill, ids, open_small, vectors
from tests.engine.remote.opening import open_remote
from tests.engine.remote.postgres import Postgres

from pykyro.cache.query_cache import Mode
from pykyro.engine.options import CacheOptions
from pykyro.engine.remote import table
from pykyro.engine.remote.id_maps import IdMaps, open_id_maps
from pykyro.model.errors import ResourceExhausted
from pykyro.model.filter import Exact
from pykyro.model.limits import REMOTE_METADATA_BYTES_MAX
from pykyro.model.listing import PageRequest
from pykyro.model.requests import Delete, Put, SearchRequest
from pykyro.model.types import EVERYTHING, Document, Metric, key_of_owner
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.id_map import MapColumns

ROWS = vectors(64, seed=3)
OFF = CacheOptions(query_mode=Mode.OFF)


def test_no_reader_misses_a_document_that_is_replaced_all_the_time(tmp_path: Path, services: Path) -> None:
    engine = open_remote(tmp_path / "data", services)
    fill(engine, ROWS)
    engine.flush()
    stop, failures = threading.Event(), list[object]()

    def read() -> None:
        dice = random.Random()
        while not stop.is_set():
            try:
                doc_id = dice.randrange(1, 65)
                found = engine.get(doc_id, cached=False)
                if found is None or found.vector.tobytes() != ROWS[doc_id - 1].tobytes():
                    failures.append(("get", doc_id, found))
                result = engine.search(SearchRequest(ROWS[0], 100, exact=dice.random() < 0.5))
                if sorted(ids(result)) != list(range(1, 65)):
                    failures.append(("search", sorted(ids(result))))
                page = engine.listing.page(PageRequest(100, None, EVERYTHING))
                if len(page.documents) != 64:
                    failures.append(("page", len(page.documents)))
            except Exception as error:
                failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    dice = random.Random(1)
    try:
        for _ in range(12):
            for _ in range(20):
                number = dice.randrange(64)
                engine.write(Put(Document(number + 1, ROWS[number], {"n": str(dice.random())})))
            engine.flush()
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert not failures, failures[:3]
    engine.close()


def test_a_large_table_is_searched_by_its_index(tmp_path: Path, postgres: Postgres) -> None:
    rows = vectors(2600, seed=8)
    local, remote = (
        open_small(tmp_path / "local"),
        open_remote(tmp_path / "remote", postgres.fresh(), cache=OFF),
    )
    for engine in (local, remote):
        fill(engine, rows, metadata={"kind": "rare"})
        engine.flush()
    ((table,),) = postgres.execute("SELECT id FROM kyrodb.collections")
    (index,) = postgres.execute("SELECT to_regclass(%s) IS NOT NULL", [f"kyrodb.rows_{table}_embedding"])
    assert index == (True,)
    for hidden in (0, 100, 560):
        for doc_id in range(1, hidden + 1):
            for engine in (local, remote):
                engine.write(Delete(doc_id))
        found = 0
        for query in vectors(20, seed=9):
            result = remote.search(SearchRequest(query, 10))
            assert "postgres: index, ef" in result.plan
            assert "ORDER BY r.embedding <=>" in result.plan
            assert len(result.hits) == 10
            expected = ids(local.search(SearchRequest(query, 10, exact=True)))
            assert ids(remote.search(SearchRequest(query, 10, exact=True))) == expected
            found += len(set(ids(result)) & set(expected))
        assert found >= 0.95 * 200
    # What hardly any row has is found by looking at those that have it.
    remote.write(Put(Document(2000, rows[0], {"kind": "single"})))
    remote.flush()
    result = remote.search(SearchRequest(rows[5], 10, filter=Exact("kind", "single")))
    assert ids(result) == [2000]
    assert result.exact
    local.close()
    remote.close()


def test_ties_are_in_the_order_of_ids_however_many_there_are(tmp_path: Path, services: Path) -> None:
    for metric in Metric:
        engine = open_remote(tmp_path / metric.value, services, metric=metric)
        fill(engine, np.tile(ROWS[:1], (200, 1)))
        engine.flush()
        for exact in (False, True):
            found = engine.search(SearchRequest(ROWS[0], 7, exact=exact))
            assert ids(found) == [1, 2, 3, 4, 5, 6, 7]
        engine.close()


def test_more_metadata_than_is_read_at_once_is_refused(
    tmp_path: Path, services: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "_FOUND", table._FOUND.replace(str(REMOTE_METADATA_BYTES_MAX), "20000"))
    engine = open_remote(tmp_path / "data", services, cache=OFF)
    fill(engine, ROWS, metadata={"text": "x" * 1000})
    engine.flush()
    assert len(engine.search(SearchRequest(ROWS[0], 5, exact=True)).hits) == 5
    with pytest.raises(ResourceExhausted, match="ask for fewer"):
        engine.search(SearchRequest(ROWS[0], 50, exact=True))
    assert len(engine.listing.page(PageRequest(100, None, EVERYTHING)).documents) == 64
    engine.close()


operations = st.lists(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 7]), st.integers(0, 12), st.booleans(), st.integers(0, 3)),
        max_size=8,
    ),
    max_size=12,
)


@settings(max_examples=40)
@given(operations)
def test_maps_of_ids_are_a_dict(seals: list[list[tuple[int, int, bool, int]]]) -> None:
    """Each seal adds documents in new rows, and leaves out the rows they and deleted documents had."""
    import tempfile

    filesystem = LocalFileSystem()
    with tempfile.TemporaryDirectory() as name:
        directory, maps, end, number = Path(name), IdMaps(()), 0, 1
        expected: dict[int, tuple[int, int]] = {}
        for seal in seals:
            hidden, added = BitMap(), dict[int, int]()
            for owner, doc_id, deletes, instant in seal:
                key = key_of_owner(owner, doc_id)
                if key in expected:
                    hidden.add(expected.pop(key)[0])
                added.pop(key, None)
                if not deletes:
                    added[key] = instant
            keys = list(added)
            columns = MapColumns(
                np.array([key >> 64 for key in keys], np.uint64),
                np.array([key & (1 << 64) - 1 for key in keys], np.uint64),
                np.arange(end, end + len(keys)).astype(np.uint32),
                np.array(list(added.values()), np.uint64),
            )
            entries = maps.followed_by(filesystem, directory, number, columns, hidden)
            maps, number = open_id_maps(filesystem, directory, entries, maps), number + 1
            expected |= {key: (end + at, added[key]) for at, key in enumerate(keys)}
            end += len(keys)
            maps = open_id_maps(filesystem, directory, entries)
            for owner in (0, 1, 7, 9):
                for doc_id in range(14):
                    key = key_of_owner(owner, doc_id)
                    assert maps.row_of(key) == (expected[key][0] if key in expected else None)
            assert maps.live_rows(BitMap()).tolist() == sorted(row for row, _ in expected.values())
            due = {key: row for row, key in maps.due(1, 2, BitMap())}
            assert due == {key: row for key, (row, instant) in expected.items() if instant in (1, 2)}
            owners = maps.owners(BitMap())
            assert sum(owners.values()) == len(expected)
