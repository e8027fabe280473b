"""Background work changes where documents are, never what they are."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.opening import DIMENSION, fill, ids, nearest, open_small, put, settle, vectors
from tests.switches import frequent_switches

from pykyro.engine.engine import Engine, open_engine
from pykyro.engine.maintenance.builder import BuildFailed
from pykyro.engine.maintenance.merging import choose_segments
from pykyro.engine.options import EngineOptions
from pykyro.engine.tiers.stored_metadata import StoredMetadata
from pykyro.model.requests import Delete, SearchRequest, UpdateMetadata
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.manifest import read_manifest
from pykyro.storage.verify import verify_directory
from pykyro.storage.wal.log import SyncPolicy


def contents(engine: Engine, universe: int) -> dict[int, tuple[bytes, dict[str, str]]]:
    """Every document, through point lookups."""
    found = {doc_id: engine.get(doc_id) for doc_id in range(1, universe + 1)}
    return {i: (f.vector.tobytes(), f.metadata) for i, f in found.items() if f is not None}


def test_segments_stay_few_and_nothing_changes(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data", hot_rows_max=64)
    rows = vectors(3000, seed=1)
    for start in range(0, 3000, 50):
        fill(engine, rows[start : start + 50], first_id=start + 1)
        settle(engine)
    stats = engine.stats()
    assert stats.documents == 3000
    assert stats.segments <= 6
    assert stats.merges > 0
    assert all(nearest(engine, rows[at], 1, exact=True) == [at + 1] for at in range(0, 3000, 97))
    engine.close()


def test_space_of_deleted_documents_comes_back(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data")
    fill(engine, vectors(2000))
    engine.flush()
    engine.commit([Delete(doc_id) for doc_id in range(1, 1001)])
    assert engine.stats().dead_rows == 1000
    engine.flush()
    settle(engine)
    assert engine.stats().dead_rows == 0
    assert engine.stats().documents == 1000
    engine.commit([Delete(doc_id) for doc_id in range(1001, 2001)])
    engine.flush()
    settle(engine)
    assert engine.stats().segments == 0
    assert not list((tmp_path / "data").glob("segment_*"))
    engine.close()


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_any_history_reads_like_a_dictionary_through_sealing_merging_and_restarts(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    rng, directory = random.Random(seed), tmp_path_factory.mktemp("history")
    universe, rows = 60, vectors(200, seed=seed % 1000)
    engine = open_small(directory / "data", hot_rows_max=rng.choice([8, 20, 1000]))
    model: dict[int, tuple[bytes, dict[str, str]]] = {}
    for step in range(rng.randrange(20, 120)):
        doc_id, row, action = rng.randint(1, universe), rng.choice(rows), rng.random()
        if action < 0.5:
            engine.write(put(doc_id, row, step=str(step)))
            model[doc_id] = (row.tobytes(), {"step": str(step)})
        elif action < 0.7:
            assert engine.write(Delete(doc_id)).existed == int(doc_id in model)
            model.pop(doc_id, None)
        elif action < 0.8:
            engine.write(UpdateMetadata(doc_id, {"updated": str(step)}, merge=True))
            if doc_id in model:
                vector, metadata = model[doc_id]
                model[doc_id] = (vector, metadata | {"updated": str(step)})
        elif action < 0.9:
            engine.maintain()
        elif action < 0.95:
            engine.flush()
        else:
            engine.close()
            engine = open_small(directory / "data", hot_rows_max=rng.choice([8, 20, 1000]))
        assert engine.stats().documents == len(model)
    assert contents(engine, universe) == model
    if model:
        answer = engine.search(SearchRequest(rows[0], universe))
        assert set(ids(answer)) == set(model)
    engine.close()
    assert verify_directory(LocalFileSystem(), directory / "data").damage == []


def test_deletes_during_a_build_hold_after_it(tmp_path: Path) -> None:
    """Rows that die between freeze and installation are carried over; so are those during a merge."""
    engine = open_small(tmp_path / "data", hot_rows_max=10_000)
    rows = vectors(1500)
    fill(engine, rows)
    sealing = engine._maintenance.sealing._tiers
    built = sealing._build

    def delete_meanwhile(frozen: object, number: int) -> object:
        entry = built(frozen, number)  # type: ignore[arg-type]
        engine.commit([Delete(1), put(2, rows[5], new="yes")])
        return entry

    sealing._build = delete_meanwhile  # type: ignore[method-assign, assignment]
    engine.flush()
    sealing._build = built  # type: ignore[method-assign]
    assert engine.get(1) is None
    found = engine.get(2)
    assert found is not None
    assert found.metadata == {"new": "yes"}
    assert engine.stats().documents == 1499
    fill(engine, vectors(500, seed=5), first_id=5001)
    engine.flush()
    assert engine._maintenance.merging.step()  # the merge is chosen and built, not installed yet
    engine.commit([Delete(3), put(4, rows[6], new="yes")])
    settle(engine)
    assert engine.stats().segments == 1
    assert engine.get(3) is None
    assert len(nearest(engine, rows[6], 3, exact=True)) == 3
    assert nearest(engine, rows[6], 2, exact=True) == [4, 7]
    engine.close()


def test_a_search_meets_every_document_while_they_move(tmp_path: Path) -> None:
    """Readers beside a writer that replaces, seals and merges never miss a document that is always there."""
    import threading

    engine = open_small(tmp_path / "data", hot_rows_max=32)
    rows = vectors(40)
    fill(engine, rows)
    stop = threading.Event()
    missing: list[int] = []

    def read() -> None:
        while not stop.is_set():
            answer = engine.search(SearchRequest(rows[0], 40, exact=True))
            if sorted(ids(answer)) != list(range(1, 41)):
                missing.append(len(answer.hits))
            if any(engine.get(doc_id) is None for doc_id in range(1, 41)):
                missing.append(-1)

    readers = [threading.Thread(target=read) for _ in range(3)]
    with frequent_switches():
        for reader in readers:
            reader.start()
        for generation in range(25):
            engine.commit([put(at + 1, row, generation=str(generation)) for at, row in enumerate(rows)])
            settle(engine)
        stop.set()
        for reader in readers:
            reader.join()
    assert missing == []
    engine.close()


def test_a_real_build_process_builds_and_the_segment_answers(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "data", EngineOptions(dimension=DIMENSION, background=False))
    rows = vectors(1200)
    fill(engine, rows)
    assert engine.flush().documents == 1200
    fill(engine, vectors(1100, seed=2), first_id=2001)
    engine.flush()
    while engine.stats().segments > 1:
        engine.maintain()
    assert nearest(engine, rows[17], 1) == [18]
    engine.close()


class _Sized:
    def __init__(self, rows: int, dead: int = 0) -> None:
        self.rows = rows
        self.checkpoint_deleted = range(dead)
        self.graph = self.shape = None


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [
        ([], []),
        ([100], []),
        ([100, 24], []),
        ([100, 25], [100, 25]),
        ([1000, 100, 30], [100, 30]),
        ([1000, 200, 60], [1000, 200, 60]),
        ([4, 1000, 4, 4], [4, 4, 4]),
    ],
)
def test_which_segments_merge(sizes: list[int], chosen: list[int]) -> None:
    segments = [_Sized(size) for size in sizes]
    assert [segment.rows for segment in choose_segments(segments)] == chosen  # type: ignore[arg-type]


def test_a_segment_with_many_dead_rows_is_rebuilt_alone() -> None:
    assert choose_segments([_Sized(100, dead=24)]) == []  # type: ignore[list-item]
    assert len(choose_segments([_Sized(1000), _Sized(100, dead=25)])) == 1  # type: ignore[list-item]


def test_a_merged_graph_recalls_like_a_fresh_one(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data", hot_rows_max=600)
    rows = vectors(3600, seed=3)
    for start in range(0, 3600, 600):
        fill(engine, rows[start : start + 600], first_id=start + 1)
        settle(engine)
    engine.flush()
    settle(engine)
    queries = vectors(40, seed=4)
    found = sum(len(set(nearest(engine, q, 10)) & set(nearest(engine, q, 10, exact=True))) for q in queries)
    assert found / 400 >= 0.95
    assert np.isclose(engine.search(SearchRequest(rows[0], 1)).hits[0].score, 1.0)
    engine.close()


def test_checkpoints_after_no_number_of_writes_are_never_taken(tmp_path: Path) -> None:
    engine = open_small(tmp_path / "data", mutations_per_checkpoint=0)
    for at in range(20):
        engine.write(put(at + 1, vectors(1)[0]))
        assert not engine.maintain()
    assert engine.stats().hot_flushes == 0
    engine.close()


@pytest.mark.parametrize(
    "options",
    [
        {"mutations_per_checkpoint": 0},
        {"mutations_per_checkpoint": 1},
        {"mutations_per_checkpoint": 2**64 - 1},
        {"hot_rows_max": 1},
        {"hot_rows_max": 2**64 - 1},
        {"hot_age_max_s": 1e-9},
        {"hot_age_max_s": float(2**31 - 1)},
        {"hot_bytes_max": 1},
        {"hot_bytes_max": 2**64 - 1},
        {"wal_segment_bytes_max": 1},
        {"wal_segment_bytes_max": 2**64 - 1},
        {"wal_retention_bytes": 0},
        {"wal_retention_bytes": 2**64 - 1},
    ],
    ids=str,
)
def test_at_every_end_of_every_bound_the_background_comes_to_rest(
    tmp_path: Path, options: dict[str, float]
) -> None:
    engine = open_small(tmp_path / "data", **options)
    rows = vectors(20)
    for at, row in enumerate(rows):
        engine.write(put(at + 1, row))
        steps = 0
        while engine.maintain():
            steps += 1
            assert steps < 10
    before = engine.stats()
    assert not engine.maintain()
    assert engine.stats().hot_flushes == before.hot_flushes
    assert before.documents == 20
    engine.close()
    again = open_small(tmp_path / "data", **options)
    assert again.stats().documents == 20
    again.close()


@pytest.mark.parametrize(("rows_max", "due_at"), [(100, 100), (5000, 5000), (100_000, 4 * 4096)])
def test_a_burst_fills_the_hot_tier_no_further_than_it_may_be_filled(
    tmp_path: Path, rows_max: int, due_at: int
) -> None:
    engine = open_small(
        tmp_path / "data", hot_rows_max=rows_max, mutations_per_checkpoint=0, sync=SyncPolicy.NONE
    )
    sealing = engine._maintenance.sealing
    sealing._in_burst = True
    found = []
    for first_id, count in ((1, due_at - 1), (due_at, 1)):
        fill(engine, vectors(count), first_id=first_id)
        found.append(sealing.due)
    assert found == [False, True]
    engine.close()


def test_large_documents_are_sealed_before_writers_have_to_wait_for_room(tmp_path: Path) -> None:
    """Few rows with much metadata filled the hot tier long before their number or age was a reason to seal it."""
    engine = open_small(tmp_path / "data", hot_bytes_max=40_000)
    for at in range(30):
        engine.write(put(at + 1, vectors(1)[0], text="x" * 5000))
        settle(engine)
        assert engine._context.state.version.active.size_bytes < 40_000
    assert engine.stats().hot_flushes > 0
    engine.close()


def test_a_segment_without_a_live_row_leaves_and_the_large_one_stays_as_it_is(tmp_path: Path) -> None:
    """Merging them would grow a graph by no row, which failed again and again."""
    engine = open_small(tmp_path / "data")
    fill(engine, vectors(1200))
    engine.flush()
    fill(engine, vectors(400, seed=1), first_id=2001)
    engine.flush()
    for doc_id in range(2001, 2401):
        engine.write(Delete(doc_id))
    engine.flush()
    expected = contents(engine, 2400)
    settle(engine)
    assert [entry.row_count for entry in read_manifest(LocalFileSystem(), tmp_path / "data").segments] == [
        1200
    ]
    assert contents(engine, 2400) == expected
    engine.close()
    again = open_small(tmp_path / "data")
    assert contents(again, 2400) == expected
    again.close()


def test_a_seal_gives_up_in_the_middle_of_its_index_when_the_engine_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tier with a million keys takes many seconds; a stop does not wait for them, and the log has everything."""
    engine = open_small(tmp_path / "data")
    fill(engine, vectors(50))
    sealing, asked, whole = engine._maintenance.sealing, list[int](), StoredMetadata.whole

    def stopping(metadata: StoredMetadata) -> dict[str, str]:
        asked.append(1)
        if len(asked) == 3:
            sealing.stop()
        return whole(metadata)

    monkeypatch.setattr(StoredMetadata, "whole", stopping)
    with pytest.raises(BuildFailed, match="cancelled"):
        engine.flush()
    assert len(asked) == 3
    engine.close()
    engine = open_small(tmp_path / "data")
    assert engine.stats().documents == 50
    engine.close()
