"""What merges leave in the hot tier: what it says it takes is what it takes, and how long an answer is is known
without reading it."""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from tests.engine.opening import nearest, open_small, put

from pykyro.engine.engine import Engine
from pykyro.engine.tiers.hot_tier import HotTier
from pykyro.engine.tiers.merged_metadata import (
    MappedMetadata,
    MergedMetadata,
    held_bytes,
    merged,
    public_bytes_max,
    whole_bytes,
)
from pykyro.engine.tiers.stored_metadata import StoredMetadata
from pykyro.model.filter import Exact
from pykyro.model.metadata_wire import decode_metadata, encode_metadata
from pykyro.model.requests import SearchRequest, UpdateMetadata
from pykyro.model.types import NAMESPACE_KEY, Scope

VECTOR = np.ones(8, np.float32)


def large(doc_id: int) -> dict[str, str]:
    return {f"key{at}": f"{doc_id} {at} ".ljust(200, "x") for at in range(30)}


@contextmanager
def filled(path: Path, documents: int, *, seal: bool) -> Iterator[Engine]:
    engine = open_small(path)
    for doc_id in range(documents):
        engine.write(put(doc_id, VECTOR, **large(doc_id)))
    if seal:
        engine.flush()
    yield engine
    engine.close()


def active(engine: Engine) -> HotTier:
    return engine._context.state.version.active


def measured(directory: Path, documents: int, rounds: int, *, seal: bool) -> tuple[int, int]:
    """Bytes that merges are counted for, and bytes that they were seen to take."""
    with filled(directory, documents, seal=seal) as engine:
        before = active(engine).size_bytes
        gc.collect()
        tracemalloc.start()
        try:
            for number in range(rounds):
                changes = [{f"key{number}": f"{number} {doc_id}"} for doc_id in range(documents)]
                engine.commit([UpdateMetadata(at, change, True) for at, change in enumerate(changes)])
            del changes
            gc.collect()
            # What was asked for is traced; memory is given out in units of 16 bytes.
            taken = sum((trace.size + 15) & ~15 for trace in tracemalloc.take_snapshot().traces)
        finally:
            tracemalloc.stop()
        counted = active(engine).size_bytes - before
        assert active(engine).rows == documents * (rounds if seal else rounds + 1)
        active(engine).charge()
        assert engine._context.memory.hot_tier.used == active(engine).size_bytes
    return counted, taken


@pytest.mark.parametrize(
    ("documents", "rounds", "seal"), [(1500, 1, True), (300, 4, True), (400, 3, False), (200, 12, False)]
)
def test_the_size_of_merged_rows_is_right_within_15_percent(
    tmp_path: Path, documents: int, rounds: int, seal: bool
) -> None:
    """In a process of its own: what the interpreter has in its free lists from earlier tests is not traced."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        counted, taken = process.submit(measured, tmp_path / "data", documents, rounds, seal=seal).result()
    assert counted == pytest.approx(taken, rel=0.15)


def test_merges_lie_over_each_other_like_dicts_and_their_length_has_a_bound() -> None:
    seeded = random.Random(3)
    reserved = {NAMESPACE_KEY: "blue"}
    public = encode_metadata(large(1))
    mapped = MappedMetadata(memoryview(public), encode_metadata(reserved))
    for base in (mapped, StoredMetadata(public, mapped.reserved)):
        expected, stored = large(1), merged(base, {}, b"")
        shared = 0
        for number in range(200):
            changes = {
                f"key{seeded.randrange(60)}": str(number) * seeded.choice((0, 1, 20))
                for _ in range(seeded.randrange(4))
            }
            expected |= changes
            stored = merged(stored, changes, encode_metadata(changes))
            assert decode_metadata(stored.public) == expected
            assert stored.whole() == expected | reserved
            assert stored.reserved == mapped.reserved
            assert len(stored.public) <= public_bytes_max(stored) < 2 * len(public)
            assert whole_bytes(stored) == public_bytes_max(stored) + len(stored.reserved)
            assert stored.in_scope(Scope(None, "blue"))
            assert not stored.in_scope(Scope(None, "red"))
            if isinstance(stored, MergedMetadata):
                shared += 1
                assert len(stored.levels) < 12
                assert (held_bytes(stored) < len(public)) == (stored.base is mapped)
        assert shared > 20


def test_the_length_of_an_answer_is_known_without_putting_it_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with filled(tmp_path / "data", 2, seal=True) as engine:
        engine.write(UpdateMetadata(1, {"mark": "yes"}, True))
        wanted = large(1) | {"mark": "yes"}
        length = len(encode_metadata(wanted))
        with monkeypatch.context() as patched:
            patched.setattr(MergedMetadata, "public", property(lambda self: pytest.fail("it was read")))
            known = engine.reads.costs.answer_bytes(1, Scope(None), with_vector=False)
        assert length <= known <= length + 100
        (hit, *_) = engine.search(SearchRequest(VECTOR, 2, filter=Exact("mark", "yes"))).hits
        assert decode_metadata(hit.metadata_wire) == wanted


def test_what_the_index_of_a_segment_that_was_merged_away_remembers_can_be_let_go_of(tmp_path: Path) -> None:
    with filled(tmp_path / "data", 4, seal=True) as engine:
        engine.write(UpdateMetadata(1, {"mark": "yes"}, True))
        state, used = engine._context.state, engine._context.memory.filter_cache
        state.replace(leaving=state.version.cold)
        assert nearest(engine, VECTOR, filter=Exact("key3", large(1)["key3"])) == [1]
        assert used.used > 0
        state.forget_filters(1 << 20)
        assert used.used == 0
