"""What only the embedded database has: opening it, its options, its files. Its methods: tests/client/test_same_*."""

from __future__ import annotations

import errno
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.crash.fault_filesystem import Fault, FaultFS
from tests.engine.opening import vectors

import pykyro
from pykyro import DataDirInUse, DataDirMismatch, InvalidArgument, Tier, Unavailable, WriteFailed
from pykyro.database.collections import Collections
from pykyro.embedded.collections import Database
from pykyro.engine.engine import open_engine
from pykyro.engine.maintenance.builder import InlineBuilder
from pykyro.engine.options import EngineOptions

DIMENSION = 8
ONES = [1.0] * DIMENSION


def test_documents_outlive_the_database_that_stored_them(tmp_path: Path) -> None:
    rows = vectors(30)
    with pykyro.open(str(tmp_path / "new" / "data"), dimension=DIMENSION) as database:
        database.insert_many(enumerate(rows, start=1), namespace="ns")
        database.delete(7)
        expected = database.search(rows[3], 30)
    with pykyro.open(tmp_path / "new" / "data", dimension=DIMENSION) as database:
        again = database.search(rows[3], 30, namespace="ns")
        assert again.ids.tolist() == expected.ids.tolist()
        assert again.scores.tolist() == expected.scores.tolist()
        assert database.stats().documents == 29


def test_acknowledged_documents_outlive_a_process_that_just_ends(tmp_path: Path) -> None:
    program = (
        "import pykyro, os, sys\n"
        "db = pykyro.open(sys.argv[1], dimension=8)\n"
        "db.insert_many((n, [n] * 8, {'n': n}) for n in range(1, 101))\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    with pykyro.open(tmp_path, dimension=DIMENSION) as database:
        assert database.stats().documents == 100
        assert database.search(ONES, 3, filter={"n": {"$gt": 98}}).ids.tolist() == [99, 100]


def test_a_snapshot_opens_as_a_database_of_its_own(tmp_path: Path) -> None:
    with pykyro.open(tmp_path / "data", dimension=DIMENSION) as database:
        database.insert(1, ONES)
        snapshot = database.snapshot()
        database.insert(2, ONES)
        with pykyro.open(snapshot.path, dimension=DIMENSION) as then:
            assert then.search(ONES).ids.tolist() == [1]
        assert database.search(ONES).ids.tolist() == [1, 2]


def test_a_directory_has_one_owner_and_one_shape(tmp_path: Path) -> None:
    with (
        pykyro.open(tmp_path, dimension=DIMENSION),
        pytest.raises(DataDirInUse),
    ):
        pykyro.open(tmp_path, dimension=DIMENSION)
    with pytest.raises(DataDirMismatch, match="dimension"):
        pykyro.open(tmp_path, dimension=9)
    with pytest.raises(DataDirMismatch, match="euclidean"):
        pykyro.open(tmp_path, dimension=DIMENSION, distance="euclidean")


@pytest.mark.parametrize(
    ("distance", "scores"),
    [
        ("cosine", {1: 1.0, 2: 1.0, 3: 2**-0.5}),
        ("innerproduct", {2: 3.0, 1: 1.0, 3: 1.0}),
        ("euclidean", {1: 1.0, 3: 0.5, 2: 1 / 3}),
    ],
)
def test_scores_of_each_distance(tmp_path: Path, distance: pykyro.Distance, scores: dict[int, float]) -> None:
    with pykyro.open(tmp_path, dimension=2, distance=distance) as database:
        database.insert_many([(1, [1, 0]), (2, [3, 0]), (3, [1, 1])])
        answer = database.search([1, 0])
        assert answer.ids.tolist() == list(scores)
        assert answer.scores.tolist() == pytest.approx(list(scores.values()))
        assert database.stats().distance == distance


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dimension": 0}, "dimension must be >= 1 and <= 4096, got 0"),
        ({"dimension": 4097}, "got 4097"),
        ({"dimension": "8"}, "dimension must be an integer, got str '8'"),
        ({"distance": "hamming"}, "distance must be one of cosine, euclidean, innerproduct, got 'hamming'"),
        ({"m": 4}, "m must be >= 5 and <= 128, got 4"),
        ({"ef_search": 0}, "ef_search must be >= 1"),
        ({"ef_construction": 10**5}, "ef_construction must be >= 1 and <= 10000"),
        ({"documents_max": 0}, "documents_max must be >= 1"),
        ({"sync": "always"}, "sync must be one of none, data_only, full, got 'always'"),
        ({"query_cache_mode": "on"}, "query_cache_mode must be one of off, exact, certified"),
        ({"background": 1}, "background must be True or False, got 1"),
        (
            {"max_elements": 5},
            "max_elements is not an option of a database; the options are background, build_threads",
        ),
    ],
)
def test_an_option_that_cannot_work_makes_no_database(
    tmp_path: Path, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidArgument, match=words):
        pykyro.open(tmp_path / "data", **{"dimension": DIMENSION, **arguments})
    assert not (tmp_path / "data").exists()


def test_options_do_what_they_say(tmp_path: Path) -> None:
    with pykyro.open(
        tmp_path,
        dimension=DIMENSION,
        m=8,
        ef_construction=50,
        ef_search=20,
        documents_max=100,
        sync="none",
        snapshots_kept=1,
        background=False,
    ) as database:
        assert database.stats().documents_max == 100
        database.insert_many(enumerate(vectors(100), start=1))
        report = database.insert_many([(101, ONES), (1, ONES)])
        assert [refusal.reason.startswith("HNSW index full: 100") for refusal in report.refused] == [True]
        database.insert(100, ONES)
        first, second = database.snapshot(), database.snapshot()
        assert not Path(first.path).exists()
        assert Path(second.path).exists()


@pytest.mark.parametrize(("mode", "tier"), [("off", Tier.HOT), ("exact", Tier.CACHE)])
def test_the_query_cache_serves_as_it_is_told(tmp_path: Path, mode: Any, tier: Tier) -> None:
    with pykyro.open(tmp_path, dimension=DIMENSION, query_cache_mode=mode) as database:
        database.insert_many(enumerate(vectors(50), start=1))
        first, second = database.search(ONES), database.search(ONES)
    assert first.tiers == {Tier.HOT}
    assert second.tiers == {tier}
    assert second.ids.tolist() == first.ids.tolist()


def test_threads_share_a_database(tmp_path: Path) -> None:
    rows = vectors(300)
    with pykyro.open(tmp_path, dimension=DIMENSION) as database, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda at: database.insert(at + 1, rows[at], {"n": at + 1}), range(300)))
        found = list(pool.map(lambda row: database.search(row, 1)[0].id, rows))
        assert found == list(range(1, 301))
        assert sum(pool.map(database.delete, range(1, 301))) == 300
        assert database.stats().documents == 0


def test_a_callers_array_stays_the_callers(tmp_path: Path) -> None:
    row = np.ones(DIMENSION, dtype=np.float32)
    with pykyro.open(tmp_path, dimension=DIMENSION) as database:
        database.insert(1, row)
        row[:] = 5
        document = database.get(1)
        assert document is not None
        assert np.array_equal(document.vector, ONES)  # type: ignore[arg-type]


def test_documents_that_fail_to_come_leave_those_before_them(tmp_path: Path) -> None:
    def documents() -> Any:
        for doc_id in range(1, 601):
            yield doc_id, ONES
        raise ConnectionError("the source is gone")

    with pykyro.open(tmp_path, dimension=DIMENSION) as database:
        with pytest.raises(ConnectionError):
            database.insert_many(documents())
        assert database.stats().documents == 512


def test_a_failing_disk_refuses_writes_and_answers_reads() -> None:
    disk = FaultFS()
    options = EngineOptions(dimension=DIMENSION, background=False)
    engine = open_engine("/data", options, filesystem=disk, builder=InlineBuilder(disk))
    with Database(Collections(Path("/data"), engine, options, filesystem=disk)) as database:
        database.insert(1, ONES)
        assert database.health().status == "healthy"
        disk.faults.append(Fault(len(disk.calls), "error", errno.ENOSPC, lasting=True))
        with pytest.raises(WriteFailed, match="No space left"):
            database.insert(2, ONES)
        with pytest.raises(Unavailable, match="circuit breaker is open") as caught:
            database.insert_many([(3, ONES), (4, ONES)])
        assert "none of the 2 documents is stored" in caught.value.__notes__[0]
        with pytest.raises(Unavailable, match="circuit breaker is open"):
            database.delete(1)
        assert database.search(ONES).ids.tolist() == [1]
        health = database.health()
        assert health.status == "unhealthy"
        assert "No space left" in health.components["wal"]
        disk.heal()


def test_what_recovery_warns_of_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pykyro.open(tmp_path, dimension=DIMENSION) as database:
        database.insert(1, ONES)
        database.flush()
    for log in tmp_path.rglob("*.wal"):
        log.unlink()
    with caplog.at_level(logging.WARNING), pykyro.open(tmp_path, dimension=DIMENSION) as database:
        assert database.search(ONES).ids.tolist() == [1]
    assert any(record.message.startswith("recovery: ") for record in caplog.records)


@pytest.mark.parametrize("tier", ["hot", "cold", "both"])
@pytest.mark.parametrize(("base", "kind"), [(2**60, int), (10**30, str), (-(2**63), int), (2**63, str)])
def test_ranges_over_large_integers_take_exactly_what_lies_in_them(
    tmp_path: Path, tier: str, base: int, kind: type
) -> None:
    """`$lte` over ids beyond 2^53 took twice as many documents away as it should. Clients without types store
    integers as texts."""
    with pykyro.open(tmp_path / "data", dimension=2) as database:
        for at in range(1, 21):
            database.insert(at, [1.0, at], {"at": kind(base + at)})
            if tier != "hot" and at == (20 if tier == "cold" else 10):
                database.flush()
        between: dict[str, object] = {"at": {"$gt": base + 4, "$lt": base + 9}}
        answer = database.search([1.0, 1.0], k=20, filter=between)
        assert sorted(hit.id for hit in answer.hits) == [5, 6, 7, 8]
        assert answer.matched == 4
        assert database.delete_many(filter={"at": {"$lte": base + 5}}) == 5
        assert database.delete_many(filter={"at": {"$gte": base + 20}}) == 1
        assert [document is None for document in database.get_many(range(1, 21))] == (
            [True] * 5 + [False] * 14 + [True]
        )
