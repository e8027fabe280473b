"""Documents are never older than an acknowledged write, and what is used stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykyro.cache.commit_sequence import CommitSequence
from pykyro.cache.document_cache import CachedDocument, DocumentCache

DIMENSION = 4


class Rig:
    """A cache over documents that are their id and a version."""

    def __init__(self, capacity: int = 10) -> None:
        self.commits = CommitSequence()
        self.cache = DocumentCache(capacity, self.commits)
        self.versions: dict[int, int] = {}

    def document(self, doc_id: int) -> CachedDocument:
        vector = np.full(DIMENSION, doc_id, np.float32)
        return CachedDocument(doc_id, vector, b"%d" % self.versions.get(doc_id, 0), b"")

    def look_up(self, doc_id: int) -> bool:
        """A lookup as the engine does it; whether the cache had the document, which must be the newest."""
        since = self.commits.number_if_idle()
        held = self.cache.get(doc_id)
        if held is not None:
            assert held.public == self.document(doc_id).public
            assert held.vector.tolist() == [doc_id] * DIMENSION
            return True
        if since is not None:
            self.keep(self.document(doc_id), since)
        return False

    def keep(self, found: CachedDocument, since: int) -> None:
        self.cache.keep(found.doc_id, found.vector, found.public, found.reserved, since)

    def write(self, doc_id: int) -> None:
        self.commits.begin()
        self.versions[doc_id] = self.versions.get(doc_id, 0) + 1
        self.cache.forget([doc_id])
        self.commits.end()

    def held(self) -> list[int]:
        """In order of arrival."""
        ids, document = list[int](), self.cache._oldest
        while document is not None:
            ids.append(document.doc_id)
            document = document.newer
        return ids


def test_a_document_is_found_again_until_it_is_written() -> None:
    rig = Rig()
    assert not rig.look_up(1)
    assert rig.look_up(1)
    rig.write(1)
    assert not rig.look_up(1)
    assert rig.look_up(1)
    assert (rig.cache.hits, rig.cache.misses, len(rig.cache)) == (2, 2, 1)


@given(
    capacity=st.integers(1, 8),
    operations=st.lists(st.tuples(st.booleans(), st.integers(1, 20)), max_size=200),
)
def test_any_traffic_never_meets_an_old_version_and_stays_in_bounds(
    capacity: int, operations: list[tuple[bool, int]]
) -> None:
    rig = Rig(capacity)
    for is_write, doc_id in operations:
        if is_write:
            rig.write(doc_id)
        else:
            rig.look_up(doc_id)
            assert rig.look_up(doc_id)
        assert len(rig.cache) <= capacity
        assert set(rig.held()) == set(rig.cache._documents)


def test_what_a_commit_overtook_is_not_kept_and_nothing_is_served_during_one() -> None:
    rig = Rig()
    since = rig.commits.number_if_idle()
    assert since is not None
    old = rig.document(1)
    rig.write(1)
    rig.keep(old, since)
    assert rig.cache.get(1) is None
    rig.look_up(2)
    rig.commits.begin()
    assert rig.cache.get(2) is None


def test_the_hand_passes_over_what_was_used_and_goes_on_from_there() -> None:
    rig = Rig(3)
    for doc_id in (1, 2, 3, 1):
        rig.look_up(doc_id)
    rig.look_up(4)
    assert rig.held() == [1, 3, 4]  # 1 was used, so the hand passed it
    rig.look_up(5)
    assert rig.held() == [1, 4, 5]
    assert rig.cache.evictions == 2


def test_when_all_were_used_the_hand_comes_round() -> None:
    rig = Rig(2)
    for doc_id in (1, 2, 1, 2, 3):
        rig.look_up(doc_id)
    assert rig.held() == [2, 3]


def test_the_hand_survives_that_its_document_is_written() -> None:
    rig = Rig(3)
    for doc_id in (1, 2, 3, 1, 4):
        rig.look_up(doc_id)
    rig.write(3)  # where the hand stands
    for doc_id in (5, 6):
        rig.look_up(doc_id)
    assert len(rig.held()) == 3


def test_a_scan_of_documents_read_once_does_not_empty_the_cache() -> None:
    rig = Rig(100)
    for _ in range(5):
        for doc_id in range(1, 81):
            rig.look_up(doc_id)
    for doc_id in range(1000, 1400):
        rig.look_up(doc_id)
    assert sum(doc_id in rig.cache._documents for doc_id in range(1, 81)) >= 60


def test_on_traffic_with_a_hot_core_it_does_better_than_the_least_recently_used() -> None:
    source = np.random.default_rng(1)
    weights = np.arange(1, 10_001.0) ** -1.4
    hot = source.choice(np.arange(1, 10_001), 60_000, p=weights / weights.sum())
    lookups = np.where(source.random(60_000) < 0.3, source.integers(1, 10_001, 60_000), hot)
    rig = Rig(189)
    hits = [rig.look_up(doc_id) for doc_id in lookups.tolist()]
    # The least recently used first reaches 0.58 here, the best fixed choice of documents 0.66.
    assert sum(hits[15_000:]) / 45_000 == pytest.approx(0.63, abs=0.02)
