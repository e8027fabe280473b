"""Documents are never older than an acknowledged write, whatever policy keeps them."""

from __future__ import annotations

import numpy as np
import pytest
from tests.crash.clock import FakeClock

from kyrodb.cache.commit_sequence import CommitSequence
from kyrodb.cache.document_cache import CachedDocument, DocumentCache, DocumentOptions
from kyrodb.cache.semantic_admission import SemanticAdmission, likest

DIMENSION = 4


class Rig:
    """A cache over documents that are their id and a version."""

    def __init__(self, strategy: str = "learned", capacity: int = 10, **options: object) -> None:
        self.clock = FakeClock()
        self.commits = CommitSequence()
        chosen = DocumentOptions(strategy, capacity, 4 * capacity, samples_min=5, **options)  # type: ignore[arg-type]
        self.cache = DocumentCache(chosen, DIMENSION, self.commits, self.clock.monotonic_s)
        self.versions: dict[int, int] = {}

    def document(self, doc_id: int) -> CachedDocument:
        vector = np.full(DIMENSION, doc_id, np.float32)
        return CachedDocument(vector, b"%d" % self.versions.get(doc_id, 0), b"")

    def look_up(self, doc_id: int) -> bool:
        """A lookup as the engine does it; whether the cache had the document, which must be the newest."""
        since = self.commits.quiet()
        held = self.cache.get(doc_id)
        if held is not None:
            assert held.public == self.document(doc_id).public
            return True
        if since is not None:
            self.keep(doc_id, self.document(doc_id), since)
        return False

    def keep(self, doc_id: int, found: CachedDocument, since: int) -> None:
        self.cache.keep(doc_id, found.vector, found.public, found.reserved, since)

    def write(self, doc_id: int) -> None:
        self.commits.begin()
        self.versions[doc_id] = self.versions.get(doc_id, 0) + 1
        self.cache.forget([doc_id])
        self.commits.end()


@pytest.mark.parametrize("strategy", ["lru", "learned", "abtest", "auto"])
def test_a_document_is_found_again_until_it_is_written(strategy: str) -> None:
    rig = Rig(strategy)
    assert not rig.look_up(1)
    assert rig.look_up(1)
    rig.write(1)
    assert not rig.look_up(1)
    assert rig.look_up(1)
    assert (rig.cache.hits, rig.cache.misses, len(rig.cache)) == (2, 2, 1)


@pytest.mark.parametrize("strategy", ["lru", "learned", "abtest", "auto"])
def test_random_traffic_never_meets_an_old_version_and_stays_in_bounds(strategy: str) -> None:
    rig, source = Rig(strategy, capacity=20), np.random.default_rng(4)
    for _ in range(5000):
        doc_id = int(source.zipf(1.3)) % 200 + 1
        happening = source.random()
        if happening < 0.1:
            rig.write(doc_id)
        elif happening < 0.101:
            rig.clock.advance(700)
            rig.cache.train()
            rig.cache.review()
            rig.cache.compare()
        else:
            rig.clock.advance(0.01)
            rig.look_up(doc_id)
        assert len(rig.cache) <= 20
        assert set(rig.cache._documents) == set(rig.cache.policy.held())
    assert rig.cache.hits > 1000
    assert rig.cache.evictions > 0


def test_what_a_commit_overtook_is_not_kept_and_nothing_is_served_during_one() -> None:
    rig = Rig()
    since = rig.commits.quiet()
    assert since is not None
    old = rig.document(1)
    rig.write(1)
    rig.keep(1, old, since)
    assert rig.cache.get(1) is None
    rig.look_up(2)
    rig.commits.begin()
    assert rig.cache.get(2) is None


def test_training_needs_accesses_and_forgets_those_before_its_window() -> None:
    rig = Rig(window_s=100.0)
    assert not rig.cache.train()
    assert rig.cache.trainings_skipped == 1
    for _ in range(4):
        rig.look_up(1)
    rig.clock.advance(200)
    for _ in range(6):
        rig.look_up(2)
    assert rig.cache.train()
    assert (rig.cache.trainings, rig.cache.predictor.trained) == (1, True)
    assert rig.cache.predictor.heat(1) == 0
    assert rig.cache.predictor.heat(2) > 0


def test_results_of_searches_are_learned_from() -> None:
    rig = Rig()
    for _ in range(10):
        rig.cache.note([7, 8])
    rig.cache.train()
    assert rig.cache.predictor.heat(7) > 0
    quiet = Rig(logs_accesses=False)
    quiet.cache.note([7])
    quiet.look_up(7)
    assert len(quiet.cache.log) == 0


def test_what_was_learned_can_be_taken_over() -> None:
    rig = Rig()
    for _ in range(10):
        rig.look_up(3)
    rig.cache.train()
    other = Rig()
    other.cache.restore(rig.cache.learned_state())
    assert other.cache.predictor.trained
    assert other.cache.predictor.heat(3) > 0
    with pytest.raises(ValueError):
        other.cache.restore(b"nonsense")


def test_auto_takes_the_policy_that_is_clearly_better_and_only_after_a_while() -> None:
    rig = Rig("auto", capacity=20)
    assert rig.cache.live == "learned"

    def favour(name: str, gain: int) -> None:
        rig.cache.ghosts.lookups += 1000
        for each in rig.cache.ghosts.hits:
            rig.cache.ghosts.hits[each] += 500 + (gain if each == name else 0)

    rig.look_up(1)
    for _ in range(5):
        favour("sieve", 5)
        rig.cache.review()
    assert rig.cache.live == "learned"
    favour("sieve", 50)
    rig.cache.review()
    assert rig.cache.live == "learned"
    favour("sieve", 50)
    rig.cache.review()
    assert (rig.cache.live, rig.cache.switches) == ("sieve", 1)
    assert rig.look_up(1)
    rig.cache.review()
    assert rig.cache.switches == 1


@pytest.mark.parametrize("capacity", [1, 2, 3, 5])
@pytest.mark.parametrize("strategy", ["lru", "learned", "abtest", "auto"])
def test_a_small_capacity_is_a_bound_too(strategy: str, capacity: int) -> None:
    rig = Rig(strategy, capacity=capacity)
    for doc_id in [*range(1, 50)] * 4:
        rig.look_up(doc_id)
        assert 1 <= len(rig.cache) <= capacity


def test_abtest_gives_half_of_the_ids_to_each() -> None:
    rig = Rig("abtest")
    for doc_id in (2, 3):
        rig.look_up(doc_id)
        rig.look_up(doc_id)
    assert rig.cache.learned is not None
    assert rig.cache.learned.held() == [3]


def test_a_document_like_those_taken_before_is_taken_though_it_misses_the_threshold() -> None:
    semantic = SemanticAdmission(DIMENSION, score_high=0.6, similarity_min=0.8, vectors_max=3)
    axes = np.eye(DIMENSION, dtype=np.float32)
    assert semantic.favours(1, 0.7, axes[0])
    semantic.admitted(axes[0] * 5)
    assert not semantic.favours(2, 0.1, axes[0] + axes[1] * 0.1)
    assert not semantic.favours(3, 0.1, axes[1])
    ids, rows, others = semantic.take_noted()
    semantic.judge(ids, likest(rows, others))
    assert (semantic.fast, semantic.compared, semantic.alike) == (1, 2, 1)
    assert semantic.favours(2, 0.1, axes[0])
    assert not semantic.favours(3, 0.1, axes[1])
    assert not semantic.favours(2, 0.1, axes[0])  # taken once
    for _ in range(9):
        semantic.admitted(axes[2])
    assert semantic.vectors == 3
    ids, rows, others = semantic.take_noted()
    assert others.tolist() == [axes[2].tolist()] * 3


def test_likeness_without_anything_to_compare_with() -> None:
    assert likest(np.ones((2, DIMENSION), np.float32), np.zeros((0, DIMENSION), np.float32)).tolist() == [
        -1,
        -1,
    ]
