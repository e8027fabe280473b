"""The rules of the query cache, one by one."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from tests.cache.holding import DIMENSION, NOTHING, Rig, best_ids, documents, rows

from pykyro.cache.query_cache import Mode
from pykyro.model import distance
from pykyro.model.requests import CachedKind
from pykyro.model.types import Metric

MANY = rows(500)


@pytest.mark.parametrize("metric", list(Metric))
def test_the_same_question_is_answered_with_its_own_scores(metric: Metric) -> None:
    rig, query = Rig(metric), rows(1, 1)[0]
    assert rig.ask(query) is None
    rig.store(query, MANY)
    for _ in range(2):
        found = rig.ask(query)
        assert (found.kind, found.exact) == (CachedKind.EXACT, True)
        assert found.doc_ids == best_ids(query, documents(1, MANY), 3, metric)
        similarities = distance.similarities(MANY, query, metric)[np.array(found.doc_ids) - 1]
        assert found.scores == distance.scores(similarities, metric).tolist()
        assert [found.documents.metadata[row] for row in found.rows] == [b"%d" % one for one in found.doc_ids]
    assert rig.cache.counts["exact"] == 2


@pytest.mark.parametrize("metric", [Metric.COSINE, Metric.EUCLIDEAN])
def test_a_near_question_is_answered_when_that_is_proved_and_not_otherwise(metric: Metric) -> None:
    rig, query = Rig(metric), rows(1, 1)[0]
    rig.store(query, MANY)
    proved = 0
    for step in range(1, 100):
        asked = query + rows(1, step)[0] * np.float32(0.002 * step)
        found = rig.ask(asked)
        if found is not None:
            proved += 1
            assert found.kind is CachedKind.CERTIFIED
            assert found.doc_ids == best_ids(asked, documents(1, MANY), 3, metric)
            assert found.margin > 0
    assert 5 < proved < 95


def test_a_question_scaled_is_the_same_question_for_cosine_only() -> None:
    for metric, kind in ((Metric.COSINE, CachedKind.CERTIFIED), (Metric.INNER_PRODUCT, None)):
        rig, query = Rig(metric), rows(1, 1)[0]
        rig.store(query, MANY)
        found = rig.ask(query * np.float32(2))
        assert (found and found.kind) == kind


def test_an_entry_that_holds_everything_answers_any_question() -> None:
    rig = Rig()
    rig.store(rows(1, 1)[0], MANY[:10])
    asked = rows(1, 2)[0]
    found = rig.ask(asked)
    assert found.doc_ids == best_ids(asked, documents(1, MANY[:10]), 3, Metric.COSINE)
    assert found.margin == math.inf
    assert len(rig.ask(asked, k=20).doc_ids) == 10


def test_keys_never_cross_and_are_compared_in_full() -> None:
    rig, query = Rig(), rows(1, 1)[0]
    rig.store(query, MANY, key=("a", 1))
    rig.store(query, MANY[100:], key=("b", 1), first_id=101)
    assert rig.ask(query, key=("a", 1)).doc_ids == best_ids(query, documents(1, MANY), 3, Metric.COSINE)
    assert min(rig.ask(query, key=("b", 1)).doc_ids) > 100
    assert rig.ask(query, key=("a", 2)) is None


def test_equal_hashes_are_not_equal_keys() -> None:
    class Colliding(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return 1

    rig, query = Rig(), rows(1, 1)[0]
    rig.store(query, MANY, key=Colliding("a"))
    assert rig.ask(query, key=Colliding("a")) is not None
    assert rig.ask(query, key=Colliding("b")) is None


def test_a_least_score_needs_only_what_reaches_it() -> None:
    rig, query = Rig(), rows(1, 1)[0]
    held = rig.store(query, MANY, keep=20)
    assert rig.ask(query, k=20) is None  # the last one ties with what may be outside
    similarities = np.sort(distance.similarities(MANY, query, Metric.COSINE))[::-1]
    found = rig.ask(query, k=30, score_min=float(similarities[9]) - 1e-4)
    assert found.doc_ids == held.held.doc_ids[:10].tolist()
    assert found.passing == 10


def test_written_documents_join_leave_and_change() -> None:
    rig, query = Rig(), rows(1, 1)[0]
    rig.store(query, MANY)
    first = rig.ask(query).doc_ids
    rig.commit([], documents(1000, query[np.newaxis]))
    assert rig.ask(query).doc_ids == [1000, *first[:2]]
    rig.commit([1000, first[0]], NOTHING)
    assert rig.ask(query).doc_ids[:2] == first[1:]
    rig.commit([], documents(first[1], -query[np.newaxis]))
    assert first[1] not in rig.ask(query).doc_ids
    rig.commit([], documents(2000, query[np.newaxis]), [{"for": "another key"}])
    assert 2000 not in rig.ask(query).doc_ids


def test_an_entry_that_lost_too_many_documents_answers_no_more() -> None:
    rig, query = Rig(), rows(1, 1)[0]
    held = rig.store(query, MANY, keep=5)
    assert rig.ask(query, k=3) is not None
    rig.commit(held.held.doc_ids[:3].tolist(), NOTHING)
    assert rig.ask(query, k=3) is None


def test_an_entry_that_grows_too_large_is_dropped() -> None:
    rig, query = Rig(), rows(1, 1)[0]
    rig.store(query, MANY, keep=20)
    close = query + rows(70, 5) * np.float32(0.01)
    rig.commit([], documents(1000, close[:30]))
    assert rig.ask(query).documents.doc_ids.shape == (50,)
    rig.commit([], documents(1030, close[30:]))
    assert rig.ask(query) is None
    assert len(rig.cache) == 0


def test_a_commit_that_touches_very_many_entries_drops_the_rest() -> None:
    rig = Rig()
    for at in range(100):
        rig.store(rows(1, at)[0], MANY[:10])
    rig.commit([3], NOTHING)
    assert len(rig.cache) == 64
    assert all(3 not in entry.held.doc_ids() for entry in rig.cache.entries())


def test_what_a_commit_overtook_is_not_stored() -> None:
    rig, query = Rig(), rows(1, 1)[0]
    lookup, found = rig.lookup(query), rig.store(rows(1, 9)[0], MANY)
    rig.commit([1], NOTHING)
    assert not rig.cache.offer(lookup, found)
    assert rig.cache.counts["overtaken"] == 1
    assert rig.ask(query) is None


def test_nothing_is_answered_or_stored_while_a_commit_is_applied() -> None:
    rig, query = Rig(), rows(1, 1)[0]
    lookup, found = rig.lookup(query), rig.store(query, MANY)
    rig.commits.begin()
    assert rig.commits.number_if_idle() is None
    assert not rig.cache.offer(lookup, found)


def test_the_least_recently_used_entries_make_room() -> None:
    rig = Rig(capacity=10)
    queries = rows(15, 1)
    for query in queries[:10]:
        rig.store(query, MANY)
    assert all(rig.ask(query) for query in queries[:5])
    for query in queries[10:]:
        rig.store(query, MANY)
    assert [rig.ask(query) is not None for query in queries] == [True] * 5 + [False] * 5 + [True] * 5
    assert rig.cache.counts["evicted"] == 5


@pytest.mark.parametrize("capacity", [1, 2, 5, 16, 17, 100])
@pytest.mark.parametrize("mode", [Mode.EXACT, Mode.CERTIFIED, Mode.THRESHOLD])
def test_a_capacity_is_a_bound_and_is_used_to_the_full(capacity: int, mode: Mode) -> None:
    """Answers that waited to become entries came on top: 20 were held where 5 are allowed, 115 for 100."""
    rig = Rig(capacity=capacity, mode=mode)
    queries = rows(400, 1)
    for at, query in enumerate(queries):
        rig.store(query, MANY)
        assert len(rig.cache) == min(at + 1, capacity)
    rig.store(queries[-1], MANY)
    assert len(rig.cache) == capacity
    assert len(rig.cache.entries()) == capacity
    assert rig.cache.counts["evicted"] == 400 - capacity
    latest = rig.ask(queries[-1])
    assert latest is not None
    assert latest.kind is CachedKind.EXACT


def test_a_cache_without_room_keeps_nothing() -> None:
    cache = Rig(capacity=0).cache
    assert cache.mode is Mode.OFF
    assert not cache.is_asked()


def test_writes_cannot_swell_entries_beyond_the_bytes() -> None:
    rig = Rig(bytes_max=60_000)
    for query in rows(5, 1):
        rig.store(query, MANY, keep=20)
        rig.ask(query)
    for at in range(40):
        rig.commit([], documents(1000 + at, rows(1, 50 + at)))
        assert rig.cache.size_bytes <= 60_000


def test_bytes_are_bounded_and_counted() -> None:
    rig = Rig(bytes_max=20_000)
    for query in rows(50, 1):
        rig.store(query, MANY)
        rig.ask(query)
        assert rig.cache.size_bytes <= 20_000
    assert 1 <= len(rig.cache) < 10


def test_metadata_counts_once_it_is_fetched() -> None:
    rig, query = Rig(), rows(1, 1)[0]
    found = rig.store(query, MANY)
    found.held = documents(1, found.held.vectors)
    before = rig.cache.size_bytes
    rig.ask(query)
    assert rig.cache.size_bytes == before + sum(map(len, found.held.metadata))


def test_documents_are_fetched_once_and_only_when_somebody_asks() -> None:
    rig, query = Rig(), rows(1, 1)[0]
    found = rig.store(query, MANY)
    assert found.reads == 0
    rig.ask(query)
    rig.ask(query)
    assert found.reads == 1
    other = rig.store(rows(1, 3)[0], MANY)
    rig.cache.fetch_all()
    rig.cache.fetch_all()
    assert (found.reads, other.reads) == (1, 1)


def test_storing_the_same_question_again_replaces_the_answer() -> None:
    rig, query = Rig(), rows(1, 1)[0]
    rig.store(query, MANY[:100])
    rig.store(query, MANY[200:], first_id=201)
    assert min(rig.ask(query).doc_ids) > 200
    assert len(rig.cache) == 1


def test_questions_that_wait_to_become_entries_are_found_again_and_follow_writes() -> None:
    rig = Rig(capacity=1000)
    queries = rows(300, 1)
    for query in queries:
        assert rig.ask(query) is None
        rig.store(query, MANY, keep=5)
        assert len(rig.cache._waiting) < 16
    assert len(rig.cache._waiting) > 0
    rig.commit([], documents(1000, queries[-1:]))
    assert rig.ask(queries[-1]).doc_ids[0] == 1000
    rig.ask(rows(1, 7)[0])
    rig.store(rows(1, 7)[0], MANY)
    assert rig.ask(rows(1, 7)[0]).kind is CachedKind.EXACT


def test_while_questions_do_not_repeat_most_go_past_and_count_as_missed() -> None:
    random.seed(1)
    rig, again = Rig(), rows(1, 2)[0]
    rig.store(again, MANY)
    missed = rig.cache.counts["miss"]
    asked = 0
    for query in rows(5000, 1):
        if rig.cache.is_asked():
            assert rig.ask(query) is None
            asked += 1
    assert 1024 <= asked < 2500
    assert rig.cache.counts["miss"] == missed + 5000 - asked
    assert rig.ask(again).kind is CachedKind.EXACT
    assert all(rig.cache.is_asked() for _ in range(100))


def test_mode_threshold_and_its_bound() -> None:
    rig = Rig(mode=Mode.THRESHOLD)
    axes = np.eye(DIMENSION, dtype=np.float32)
    rig.store(axes[0], MANY)
    own = rig.ask(axes[0])
    beside = rig.ask(axes[0] + axes[1] * np.float32(1.7))  # a cosine of 0.507
    assert (beside.kind, beside.doc_ids, beside.scores) == (CachedKind.THRESHOLD, own.doc_ids, own.scores)
    assert rig.ask(axes[0] + axes[1] * np.float32(1.8)) is None  # 0.486


def test_mode_rescored_measures_before_it_serves() -> None:
    random.seed(3)
    rig, held = Rig(mode=Mode.RESCORED), documents(1, MANY)
    (topic,) = rows(1, 1)
    rig.store(topic, MANY, keep=30)
    kinds: list[CachedKind | None] = []
    for seed in range(1000):
        asked = topic + rows(1, seed)[0] * np.float32(0.3)
        lookup = rig.lookup(asked)
        found = rig.cache.lookup(lookup, 3)
        kinds.append(None if found is None else found.kind)
        assert rig.cache.similar is not None
        if found is None and lookup.to_check is not None:
            rig.cache.similar.judge(lookup.to_check, best_ids(asked, held, 3, Metric.COSINE))
        if found is not None and found.kind is CachedKind.RESCORED:
            similarities = distance.similarities(held.vectors, asked, Metric.COSINE)
            assert (
                found.scores
                == distance.scores(similarities[np.array(found.doc_ids) - 1], Metric.COSINE).tolist()
            )
    first = kinds.index(CachedKind.RESCORED)
    assert first > 50
    assert kinds[first:].count(CachedKind.RESCORED) > 200
    assert rig.cache.similar is not None
    assert rig.cache.similar.control.recall()[1] >= 0.9
