"""Bugs the crash rigs or a review found in the engine, each kept as the shortest way to show it."""

from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import Any

import numpy as np
import pytest
from tests.crash.clock import FakeClock
from tests.crash.disk import AllKept
from tests.crash.fault_filesystem import Call, Fault, FaultFS
from tests.crash.session import DATA, open_on

from pykyro.engine import write_path
from pykyro.engine.engine import Engine, open_engine
from pykyro.engine.maintenance import builder, segment_builder
from pykyro.engine.maintenance.build_protocol import BuildRequest
from pykyro.engine.maintenance.builder import Build, BuildFailed, InlineBuilder
from pykyro.engine.options import EngineOptions
from pykyro.engine.pending_write import PendingWrite
from pykyro.engine.tiers.hot_tier import HotTier
from pykyro.model.errors import DataDamaged, Unavailable, WriteFailed
from pykyro.model.metadata_wire import encode_metadata
from pykyro.model.requests import Delete, Operation, Put, UpdateMetadata
from pykyro.model.types import Document, Metric
from pykyro.storage.manifest import write_manifest
from pykyro.storage.wal.records import PutRecord

OPTIONS = EngineOptions(dimension=4, background=False)


def put(doc_id: int, **metadata: str) -> Put:
    return Put(Document(doc_id, np.ones(4, dtype=np.float32), metadata))


def fail_syncs_from_now_on(disk: FaultFS) -> None:
    disk.faults = [Fault(len(disk.calls), "error", lasting=True, calls=frozenset({"sync"}))]


def start(disk: FaultFS) -> tuple[Engine, FakeClock]:
    clock = FakeClock()
    return open_on(disk, OPTIONS, clock), clock


def test_delete_of_nothing_is_not_acknowledged_while_a_failed_put_may_come_back() -> None:
    """The put was on disk though its fsync had failed; the delete found nothing, and then it was there."""
    disk = FaultFS()
    engine, clock = start(disk)
    engine.write(put(1))
    fail_syncs_from_now_on(disk)
    with pytest.raises(WriteFailed):
        engine.write(put(2))
    with pytest.raises(Unavailable):
        engine.write(Delete(2))
    disk.heal()
    clock.advance(60)
    assert engine.write(Delete(2)).existed == 0
    engine = open_on(disk.crash(AllKept()), OPTIONS, FakeClock())
    assert engine.get(2) is None


def test_group_that_fails_acknowledges_nothing() -> None:
    """A delete that changed nothing was acknowledged beside the put that could still come back."""
    disk = FaultFS()
    engine, _ = start(disk)
    engine.write(put(9))
    fail_syncs_from_now_on(disk)
    answers = engine.commit([put(1), Delete(1), Delete(1), Delete(5)])
    assert all(isinstance(answer, WriteFailed) for answer in answers)


def test_interrupt_between_log_and_memory_stops_writes_until_the_database_is_opened_again() -> None:
    """Memory went on without a write that the log held, and a delete of it found nothing."""
    disk = FaultFS()
    engine, _ = start(disk)

    def interrupt_rotation(index: int, call: Call) -> None:
        if call.name == "create":
            disk.before_change = None
            raise KeyboardInterrupt

    engine = open_on_small_segments(disk)
    disk.before_change = interrupt_rotation
    with pytest.raises(KeyboardInterrupt):
        engine.write(put(1, text="x" * 4000))
    with pytest.raises(Unavailable, match="open it again"):
        engine.write(Delete(1))
    disk.kill_process()
    engine = open_on(disk, OPTIONS, FakeClock())
    assert engine.write(Delete(1)).existed == 1


def open_on_small_segments(disk: FaultFS) -> Engine:
    disk.kill_process()
    options = EngineOptions(dimension=4, background=False, wal_segment_bytes_max=2000)
    return open_on(disk, options, FakeClock())


def waiting_write(*operations: Operation) -> PendingWrite:
    """A write whose caller waits for its turn."""
    turn = threading.Lock()
    turn.acquire()
    return PendingWrite(operations, len(operations), turn=turn)


def test_other_callers_of_an_interrupted_group_get_an_answer() -> None:
    """An interrupt is no Exception, and nobody answered the others, who then failed an assertion."""
    disk = FaultFS()
    engine, _ = start(disk)
    follower = waiting_write(put(2))
    engine._context.writes._queue.append(follower)

    def interrupt(index: int, call: Call) -> None:
        disk.before_change = None
        raise KeyboardInterrupt

    disk.before_change = interrupt
    with pytest.raises(KeyboardInterrupt):
        engine.write(put(1))
    assert follower.answers is not None
    assert isinstance(follower.answers[0], Unavailable)


def test_leader_is_in_its_own_group_however_much_is_queued_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A late caller that led a group of earlier ones got no answer, and its write happened later all the same."""
    monkeypatch.setattr(write_path, "_GROUP_OPERATIONS_MAX", 2)
    engine, _ = start(FaultFS())
    earlier = [waiting_write(put(2), put(3)), waiting_write(put(4), put(5))]
    engine._context.writes._queue.extend(earlier)
    assert engine.write(put(1)).existed == 0
    assert earlier[1].answers is None


def test_builds_that_fail_do_not_fill_the_disk() -> None:
    """Each try to seal wrote the rows anew under another number and left them there for ever."""

    class FailingBuilder:
        merges = False

        def start(self, request: BuildRequest) -> Build:
            raise BuildFailed("out of memory")

    disk, clock = FaultFS(), FakeClock()
    engine = open_engine(DATA, OPTIONS, filesystem=disk, clock=clock, builder=FailingBuilder())
    engine.write(put(1))
    for _ in range(5):
        with pytest.raises(BuildFailed):
            engine.flush()
    assert len(rows_files(disk)) == 5
    engine._context.builder = InlineBuilder(disk)
    engine.flush()
    assert len(rows_files(disk)) == 1


def rows_files(disk: FaultFS) -> list[str]:
    return [name for name in disk.names(DATA) if name.endswith(".rows")]


def test_segment_that_rotted_after_the_start_is_not_merged() -> None:
    """A merge gave rotten rows a new digest, and no later start could know."""
    disk = FaultFS()
    engine, _ = start(disk)
    for doc_id in (1, 2):
        engine.write(put(doc_id))
        engine.flush()
    rotten = rows_files(disk)[0]
    disk.flip(DATA / rotten, 8 * 70)  # inside its ids
    with pytest.raises(DataDamaged, match=rotten):
        engine.maintain()
    assert engine.write(Delete(1)).existed == 1


def test_document_updated_in_a_segment_whose_graph_was_extended_is_found_by_its_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The merged segment held the dead row and the living one, and a lookup met the dead one first."""
    for module in (segment_builder, builder):
        monkeypatch.setattr(module, "GRAPH_ROWS_MIN", 3)
    engine, _ = start(FaultFS())
    engine.commit([put(doc_id) for doc_id in range(1, 9)])
    engine.flush()
    engine.commit([put(1, colour="new"), put(9), put(10)])
    engine.flush()
    assert engine.maintain()
    assert engine.maintain()
    (segment,) = engine._context.state.version.cold
    assert segment.rows == 11  # the dead row of document 1 is still among them
    found = engine.get(1)
    assert found is not None
    assert found.metadata == {"colour": "new"}
    assert engine.write(Delete(1)).existed == 1
    assert engine.get(1) is None


def test_lookup_beside_an_update_of_a_cold_document_finds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader looked for the new row too early, for the old one too late, and the position had not moved yet."""
    engine, _ = start(FaultFS())
    engine.write(put(1))
    engine.flush()
    state = engine._context.state
    (segment,) = state.version.cold
    lookup = segment.lookup

    def update_first(doc_id: int) -> int | None:
        monkeypatch.undo()
        metadata = {"v": "new"}
        put_again = PutRecord(1, np.ones(4, np.float32), metadata, encode_metadata(metadata))
        state.apply(state.position, [put_again])
        return lookup(doc_id)

    monkeypatch.setattr(segment, "lookup", update_first)
    place = state.find(1)
    assert place is not None
    assert place.metadata.whole() == {"v": "new"}


def test_lookup_beside_an_update_of_a_hot_document_finds_it() -> None:
    """The same between two rows of the hot tier."""
    engine, _ = start(FaultFS())
    engine.write(put(1))
    tier = engine._context.state.version.active

    class RowsOfARace(dict[int, int]):
        def get(self, doc_id: int, default: object = None) -> object:  # type: ignore[override]
            row = super().get(doc_id)
            tier._row_of = dict(self)
            tier.put(1, np.ones(4, dtype=np.float32), {}, b"")
            return row

    tier._row_of = RowsOfARace(tier._row_of)
    assert tier.lookup(1) == 1


def test_flush_after_a_failed_one_seals_what_came_since_too() -> None:
    """It took up the old one and left what was written meanwhile in the hot tier."""
    disk = FaultFS()
    engine, clock = start(disk)
    engine.write(put(1))
    disk.faults = [Fault(0, "error", lasting=True, calls=frozenset({"replace"}))]
    with pytest.raises(WriteFailed):
        engine.flush()
    disk.heal()
    clock.advance(60)
    engine.write(put(2))
    assert engine.flush().documents == 2
    assert engine.stats().hot_documents == 0


@pytest.mark.parametrize("operation", [Delete(1), UpdateMetadata(1, {"a": "b"})])
def test_log_that_changes_a_document_that_is_not_there_is_refused(operation: Operation) -> None:
    """It was skipped in silence, so whatever had lost the document was never noticed."""
    disk = FaultFS()
    engine, _ = start(disk)
    engine.write(put(1))
    engine.flush()
    engine.write(operation)
    disk.kill_process()
    manifest = engine._context.manifests.current
    write_manifest(disk, DATA, manifest.model_copy(update={"segments": ()}))
    with pytest.raises(DataDamaged, match="changes document 1, which is not there"):
        start(disk)


@pytest.mark.parametrize("replaces", [True, False])
def test_lookup_beside_a_write_is_never_behind_a_search(replaces: bool) -> None:
    """Searches saw the new row a moment before lookups did, so who looked after a search could find the old one."""
    tier, vector = HotTier(4, Metric.EUCLIDEAN), np.ones(4, dtype=np.float32)
    if replaces:
        tier.put(1, vector, {}, b"")
    first = 0 if replaces else None
    seen: list[tuple[int | None, int | None]] = []
    steps = {step.__code__ for step in (HotTier.put, HotTier._add, HotTier._show, HotTier.delete)}

    def look(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code not in steps:
            return None
        live = tier.live_rows().tolist()
        seen.append((max(live, default=None), tier.lookup(1)))
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        tier.put(1, vector, {}, b"")
    finally:
        sys.settrace(before)
    assert len(seen) > 10
    assert seen[0] == (first, first)
    assert seen[-1] == (tier.rows - 1, tier.rows - 1)
    assert all(found == searched for searched, found in seen), seen
