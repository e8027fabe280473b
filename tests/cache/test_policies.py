"""Every policy keeps its promises to the cache around it, and is about as good as its inventors say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyrodb.cache.ghosts import Ghosts
from kyrodb.cache.policies.learned import Learned
from kyrodb.cache.policies.lru import Lru
from kyrodb.cache.policies.policy import Policy, access
from kyrodb.cache.policies.s3fifo import S3Fifo
from kyrodb.cache.policies.sieve import Sieve
from kyrodb.cache.policies.split import Split
from kyrodb.cache.policies.tinylfu import FrequencySketch, WTinyLfu
from kyrodb.cache.predictor import Predictor, Training


def learned(capacity: int) -> Learned:
    """With a clock that moves by a second with each question for the time."""
    now = iter(range(10**9))
    predictor = Predictor(Training(4 * capacity, capacity, 600.0, 0.1), 0.0)
    return Learned(capacity, predictor, None, target_fill=0.9, now_s=lambda: float(next(now)) / 100)


POLICIES: dict[str, Callable[[int], Policy]] = {
    "lru": Lru,
    "sieve": Sieve,
    "s3fifo": S3Fifo,
    "wtinylfu": WTinyLfu,
    "learned": learned,
    "split": lambda capacity: Split({"a": Lru((capacity + 1) // 2), "b": Sieve((capacity + 1) // 2)}),
}
operations = st.lists(
    st.tuples(st.sampled_from(["access"] * 5 + ["forget"]), st.integers(1, 40)), max_size=300
)


@pytest.mark.parametrize("name", POLICIES)
@given(capacity=st.integers(1, 12), operations=operations)
def test_what_is_held_is_what_was_taken_and_not_let_go(
    name: str, capacity: int, operations: list[tuple[str, int]]
) -> None:
    policy, held = POLICIES[name](capacity), set[int]()
    for what, key in operations:
        if what == "forget":
            policy.forget(key)
            held.discard(key)
        elif not policy.touch(key):
            assert key not in held
            gone = policy.offer(key)
            if gone is not None:
                held.add(key)
                assert held.issuperset(gone)
                held.difference_update(gone)
        else:
            assert key in held
        assert sorted(policy.held()) == sorted(held)
        assert len(policy) == len(held) <= policy.capacity
        assert all((one in policy) == (one in held) for one in range(1, 41))


def zipf(count: int, *, cold: float = 0.3, documents: int = 10_000, exponent: float = 1.4) -> list[int]:
    """Lookups of which a share is uniform and the rest Zipf."""
    source = np.random.default_rng(1)
    weights = np.arange(1, documents + 1.0) ** -exponent
    hot = source.choice(np.arange(1, documents + 1), count, p=weights / weights.sum())
    uniform = source.integers(1, documents + 1, count)
    lookups: list[int] = np.where(source.random(count) < cold, uniform, hot).tolist()
    return lookups


def hit_ratio(policy: Policy, lookups: list[int]) -> float:
    hits = [access(policy, key) for key in lookups]
    warm = hits[len(hits) // 4 :]
    return sum(warm) / len(warm)


def test_on_traffic_with_a_hot_core_they_rank_as_expected() -> None:
    lookups = zipf(60_000)
    ratios = {name: hit_ratio(make(189), lookups) for name, make in POLICIES.items() if name != "split"}
    assert 0.56 < ratios["lru"] < 0.60
    assert min(ratios[name] for name in ratios if name != "lru") > ratios["lru"] + 0.04
    assert ratios["learned"] > max(ratios["sieve"], ratios["s3fifo"], ratios["wtinylfu"]) - 0.005
    assert max(ratios.values()) < 0.66  # what the best fixed choice of documents would reach


@pytest.mark.parametrize("name", ["sieve", "s3fifo", "wtinylfu", "learned"])
def test_a_scan_of_strangers_does_not_empty_the_cache(name: str) -> None:
    policy = POLICIES[name](100)
    for _ in range(5):
        for key in range(1, 81):
            access(policy, key)
    for key in range(1000, 1400):
        access(policy, key)
    assert sum(key in policy for key in range(1, 81)) >= 60


def test_lru_lets_the_longest_unused_go() -> None:
    policy = Lru(3)
    for key in (1, 2, 3):
        access(policy, key)
    assert access(policy, 1)
    assert policy.oldest() == 2
    assert policy.offer(4) == [2]
    assert policy.held() == [3, 1, 4]


def test_sieve_passes_over_what_was_used_and_goes_on_from_there() -> None:
    policy = Sieve(3)
    for key in (1, 2, 3):
        access(policy, key)
    policy.touch(1)
    assert policy.offer(4) == [2]  # 1 was used, so the hand passes it
    assert policy.offer(5) == [3]
    assert sorted(policy.held()) == [1, 4, 5]


def test_s3fifo_keeps_what_proved_itself_and_remembers_what_failed() -> None:
    policy = S3Fifo(10)
    access(policy, 1)
    policy.touch(1)
    policy.touch(1)
    for key in range(2, 14):
        access(policy, key)
    assert 1 in policy
    assert 2 not in policy
    policy.offer(2)  # failed lately: straight into the main queue
    for key in range(20, 28):
        access(policy, key)
    assert 2 in policy


@given(st.lists(st.integers(1, 10), max_size=60))
def test_frequencies_are_never_too_low(keys: list[int]) -> None:
    sketch = FrequencySketch(100)
    for key in keys:
        sketch.add(key)
    assert all(sketch.count(key) >= min(15, keys.count(key)) for key in set(keys))


def test_frequencies_fade() -> None:
    sketch = FrequencySketch(8)
    for _ in range(15):
        sketch.add(1)
    for key in range(100, 165):
        sketch.add(key)
    assert sketch.count(1) <= 8


def test_split_tells_its_halves_apart() -> None:
    policy = Split({"lru": Lru(10), "sieve": Sieve(10)})
    for key in (2, 2, 3, 5, 5, 5):
        access(policy, key)
    assert policy.ratios() == {"lru": 0.5, "sieve": 0.5}
    assert policy.lookups == [2, 4]


def test_ghosts_over_a_sample_tell_the_hit_ratio_of_the_whole() -> None:
    lookups = zipf(60_000, documents=100_000, exponent=1.0)
    ghosts = Ghosts(3200, {"lru": Lru, "sieve": Sieve})
    for key in lookups:
        ghosts.access(key)
    assert ghosts.one_in == 16
    assert ghosts.lookups == pytest.approx(60_000 / 16, rel=0.5)
    full = [access(policy, key) for policy in [Lru(3200)] for key in lookups]
    assert ghosts.ratios()["lru"] == pytest.approx(sum(full) / len(full), abs=0.08)
    assert ghosts.ratios()["sieve"] > ghosts.ratios()["lru"]


def test_small_caches_have_whole_ghosts_and_ghosts_forget() -> None:
    ghosts = Ghosts(100, {"lru": Lru})
    assert ghosts.one_in == 1
    ghosts.access(1)
    ghosts.forget(1)
    ghosts.access(1)
    assert (ghosts.hits["lru"], ghosts.ratios()["lru"]) == (0, 0.0)
