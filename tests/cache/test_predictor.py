"""What is read often and lately ranks high; state survives; nothing grows without bound."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyrodb.cache.access_log import AccessLog
from kyrodb.cache.admission_control import AdmissionControl, Feedback
from kyrodb.cache.policies.learned import Learned
from kyrodb.cache.policies.policy import access
from kyrodb.cache.predictor import Predictor, Training

TRAINING = Training(tracked_max=100, room=10, halflife_s=100.0, threshold_min=0.1)


def trained(ids: list[int], times: list[float], now_s: float) -> Predictor:
    predictor = Predictor(TRAINING, now_s)
    predictor.train(np.array(ids, np.uint64), np.array(times), now_s)
    return predictor


def test_score_is_the_share_of_logarithmic_heat() -> None:
    predictor = trained([1, 1, 2], [900.0, 1000.0, 1000.0], 1000.0)
    hottest = 1 + math.exp(-1)
    assert predictor.score(1, 1000.0) == pytest.approx(1.0)
    assert predictor.score(2, 1000.0) == pytest.approx(math.log1p(1) / math.log1p(hottest))
    assert predictor.score(3, 1000.0) == 0.0


def test_reading_adds_what_training_would_have_counted() -> None:
    online = Predictor(TRAINING, 0.0)
    for doc_id, time_s in ((1, 0.0), (2, 30.0), (1, 50.0)):
        online.read(doc_id, time_s)
    offline = trained([1, 2, 1], [0.0, 30.0, 50.0], 60.0)
    for doc_id in (1, 2, 3):
        assert online.score(doc_id, 60.0) == pytest.approx(offline.score(doc_id, 60.0))


def test_the_threshold_is_the_score_of_the_last_there_is_room_for() -> None:
    ids = [doc_id for doc_id in range(1, 31) for _ in range(31 - doc_id)]
    predictor = trained(ids, [0.0] * len(ids), 0.0)
    assert predictor.threshold == pytest.approx(math.log1p(21) / math.log1p(30))
    assert trained([1, 1, 2], [0.0] * 3, 0.0).threshold == TRAINING.threshold_min


def test_only_so_many_documents_are_tracked() -> None:
    predictor = Predictor(TRAINING, 0.0)
    for doc_id in range(1, 250):
        predictor.read(doc_id, 0.0)
        if doc_id < 50:
            predictor.read(doc_id, 0.0)
    assert bool(predictor.overdue) is True
    predictor.prune(10.0)
    assert len(predictor) == 100
    assert bool(predictor.overdue) is False
    assert all(predictor.heat(doc_id) > 0 for doc_id in range(1, 50))


def test_time_may_go_on_for_ever() -> None:
    predictor = Predictor(TRAINING, 0.0)
    predictor.read(1, 0.0)
    predictor.read(2, 50_000.0)
    assert bool(predictor.overdue) is True
    predictor.prune(50_000.0)
    predictor.read(2, 50_001.0)
    assert predictor.score(2, 50_001.0) == 1.0
    assert predictor.score(1, 50_001.0) < 1e-9


def test_what_was_learned_survives_a_restart_on_another_clock() -> None:
    before = trained([1, 1, 2, 3], [0.0, 90.0, 50.0, 10.0], 100.0)
    after = Predictor(TRAINING, 7.0)
    after.decode(before.encode(100.0), 7.0)
    assert (after.trained, after.threshold, len(after)) == (True, before.threshold, 3)
    for doc_id in (1, 2, 3, 4):
        assert after.score(doc_id, 7.0) == pytest.approx(before.score(doc_id, 100.0))


@given(st.binary(max_size=80))
def test_other_bytes_are_no_predictor(data: bytes) -> None:
    with pytest.raises(ValueError):
        Predictor(TRAINING, 0.0).decode(data, 0.0)


def test_impossible_numbers_are_refused() -> None:
    state = bytearray(trained([1], [0.0], 0.0).encode(0.0))
    state[-8:] = np.array([np.nan]).tobytes()
    with pytest.raises(ValueError, match="impossible"):
        Predictor(TRAINING, 0.0).decode(bytes(state), 0.0)


@given(st.integers(1, 50), st.lists(st.lists(st.integers(1, 9), max_size=30), max_size=20))
def test_the_log_keeps_the_latest(capacity: int, batches: list[list[int]]) -> None:
    log = AccessLog(capacity)
    everything = []
    for at, batch in enumerate(batches):
        log.add(batch, float(at))
        everything += [(doc_id, float(at)) for doc_id in batch]
    ids, times = log.since(-1.0)
    assert sorted(zip(ids.tolist(), times.tolist())) == sorted(everything[-capacity:])
    assert len(log) == min(capacity, len(everything))
    recent, _ = log.since(5.0)
    assert len(recent) == sum(time_s >= 5 for _, time_s in everything[-capacity:])


def control(**changed: float) -> AdmissionControl:
    chosen = {"target_fill": 0.9, "interval_s": 15.0, "bias_max": 0.2, "now_s": 0.0} | changed
    return AdmissionControl(**chosen)


def test_the_threshold_falls_while_the_cache_is_empty_and_mistakes_pull_both_ways() -> None:
    empty = control()
    for turn in range(1, 20):
        assert empty.look(15.0 * turn, 0.0, Feedback())
    assert empty.bias == pytest.approx(-0.6 * 0.2)
    strict, loose = control(), control()
    for turn in range(1, 20):
        strict.look(15.0 * turn, 1.0, Feedback(unread=10))
        loose.look(15.0 * turn, 1.0, Feedback(missed=10))
    assert strict.bias == pytest.approx(0.4 * 0.2) == -loose.bias
    assert strict.moves > 0


def test_the_controller_looks_no_more_often_than_told_and_steps_a_third_at_most() -> None:
    one = control()
    assert not one.look(14.9, 0.0, Feedback())
    assert one.look(15.0, 0.0, Feedback())
    assert one.bias == pytest.approx(-0.35 * 0.2)
    assert not one.look(29.9, 0.0, Feedback())


def test_a_handful_of_mistakes_moves_nothing() -> None:
    one = control()
    one.look(15.0, 1.0, Feedback(unread=3))
    assert one.bias == 0.0


def test_mistakes_of_admission_are_counted() -> None:
    now = [0.0]
    predictor = Predictor(Training(40, 10, 100.0, 0.1), 0.0)
    policy = Learned(10, predictor, control(), target_fill=0.5, now_s=lambda: now[0])
    for key in range(1, 11):
        for _ in range(3):
            access(policy, key)
    assert len(policy) == 10
    access(policy, 50)
    assert 50 not in policy  # colder than everything held
    access(policy, 50)
    assert policy.missed_total == 1
    for _ in range(6):
        access(policy, 50)
    assert 50 in policy
    assert policy.predictions > 5
    for key in range(60, 75):
        for _ in range(20):
            access(policy, key)
    assert policy.unread_total >= 0
    assert policy.threshold >= 0.1
