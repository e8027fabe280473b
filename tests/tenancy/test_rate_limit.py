"""Token buckets, on a clock that only the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykyro.config.settings.server import RateLimitSettings
from pykyro.model.errors import ResourceExhausted
from pykyro.model.limits import RATE_PEERS_MAX
from pykyro.tenancy.rate_limit import RateLimiter, TokenBucket


class Hands:
    """A clock."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def settings(
    *, enabled: bool = True, caller: int = 10, everybody: int = 1000, burst: int = 10_000
) -> RateLimitSettings:
    return RateLimitSettings(
        enabled=enabled, max_qps_per_connection=caller, max_qps_global=everybody, burst_capacity=burst
    )


def taken(limiter: RateLimiter, bucket: TokenBucket | None, attempts: int) -> int:
    """How many of so many requests in one instant are let through."""
    passed = 0
    for _ in range(attempts):
        try:
            limiter.take(bucket)
        except ResourceExhausted:
            continue
        passed += 1
    return passed


def test_a_bucket_holds_one_second_of_its_rate() -> None:
    bucket = TokenBucket(5, 100, 0.0)
    assert [bucket.take(0.0) for _ in range(6)] == [0.0] * 5 + [0.2]
    assert [bucket.take(0.2), bucket.take(0.2)] == [0.0, 0.2]
    assert [bucket.take(1e9) == 0.0 for _ in range(6)] == [True] * 5 + [False]


def test_a_bucket_holds_no_more_than_the_burst() -> None:
    bucket = TokenBucket(1000, 3, 0.0)
    assert [bucket.take(0.0) == 0.0 for _ in range(4)] == [True, True, True, False]
    assert TokenBucket(1000, 0, 0.0).take(0.0) == 0.0


def test_the_wait_is_long_enough_and_no_longer() -> None:
    bucket = TokenBucket(4, 1, 0.0)
    assert bucket.take(0.0) == 0.0
    wait_s = bucket.take(0.1)
    assert wait_s == pytest.approx(0.15)
    assert bucket.take(0.1 + wait_s - 1e-6) > 0.0
    assert bucket.take(0.1 + wait_s + 1e-6) == 0.0


@given(
    rate=st.integers(1, 1000),
    burst=st.integers(0, 2000),
    steps_s=st.lists(st.floats(0, 2, allow_subnormal=False), min_size=1, max_size=60),
)
def test_no_more_passes_than_burst_and_rate_allow(rate: int, burst: int, steps_s: list[float]) -> None:
    bucket, now_s, passed = TokenBucket(rate, burst, 0.0), 0.0, 0
    for step_s in steps_s:
        now_s += step_s
        passed += bucket.take(now_s) == 0.0
        assert passed <= max(1, min(rate, burst)) + rate * now_s + 1e-6


def test_a_change_of_rate_gives_no_burst() -> None:
    bucket = TokenBucket(10, 100, 0.0)
    for _ in range(10):
        bucket.take(0.0)
    bucket.change(1000, 1000, 0.1)
    assert [bucket.take(0.1) == 0.0 for _ in range(2)] == [True, False]
    bucket.change(2, 1000, 100.0)
    assert [bucket.take(100.0) == 0.0 for _ in range(3)] == [True, True, False]


def test_a_tenant_is_held_to_the_rate_of_its_key() -> None:
    limiter = RateLimiter(settings(caller=10), Hands())
    assert taken(limiter, limiter.tenant("stated", 4), 20) == 4
    assert taken(limiter, limiter.tenant("default", 0), 20) == 10


def test_the_rate_of_a_key_counts_also_when_rate_limiting_is_off() -> None:
    limiter = RateLimiter(settings(enabled=False, everybody=1), Hands())
    assert taken(limiter, limiter.tenant("stated", 4), 20) == 4
    assert limiter.tenant("default", 0) is None
    assert limiter.peer("10.0.0.1") is None
    assert taken(limiter, None, 20) == 20


def test_all_keys_of_a_tenant_share_a_bucket() -> None:
    limiter = RateLimiter(settings(), Hands())
    assert limiter.tenant("acme", 4) is limiter.tenant("acme", 4)
    assert taken(limiter, limiter.tenant("acme", 4), 3) == 3
    assert taken(limiter, limiter.tenant("acme", 4), 3) == 1


def test_one_tenant_takes_nothing_from_another() -> None:
    limiter = RateLimiter(settings(), Hands())
    assert taken(limiter, limiter.tenant("loud", 0), 100) == 10
    assert taken(limiter, limiter.tenant("quiet", 0), 5) == 5


def test_everybody_together_is_held_to_the_global_rate() -> None:
    limiter = RateLimiter(settings(caller=10, everybody=15), Hands())
    assert taken(limiter, limiter.tenant("a", 0), 10) == 10
    assert taken(limiter, limiter.tenant("b", 0), 10) == 5


def test_a_token_comes_back_when_the_global_limit_refuses() -> None:
    clock = Hands()
    limiter = RateLimiter(settings(caller=10, everybody=15), clock)
    busy, patient = limiter.tenant("busy", 1000), limiter.tenant("patient", 10)
    assert taken(limiter, busy, 100) == 15
    assert taken(limiter, patient, 100) == 0
    limiter.change(settings(caller=10, everybody=1000))
    clock.now_s += 1.0
    assert taken(limiter, patient, 100) == 10


def test_a_refusal_says_when_to_come_back() -> None:
    clock = Hands()
    limiter = RateLimiter(settings(caller=4), clock)
    bucket = limiter.tenant("acme", 0)
    assert taken(limiter, bucket, 5) == 4
    with pytest.raises(ResourceExhausted, match=r"^rate limit exceeded$") as refused:
        limiter.take(bucket)
    assert refused.value.retry_after_s == pytest.approx(0.25)
    clock.now_s += 0.26
    limiter.take(bucket)


def test_peers_have_buckets_of_their_own_and_old_ones_are_forgotten() -> None:
    limiter = RateLimiter(settings(caller=2), Hands())
    assert taken(limiter, limiter.peer("10.0.0.1"), 5) == 2
    assert taken(limiter, limiter.peer("10.0.0.2"), 5) == 2
    for at in range(RATE_PEERS_MAX - 1):
        limiter.peer(f"peer {at}")
        limiter.peer("10.0.0.1")
    assert taken(limiter, limiter.peer("10.0.0.1"), 5) == 0
    assert taken(limiter, limiter.peer("10.0.0.2"), 5) == 2


def test_a_reload_can_switch_limits_on_and_off() -> None:
    limiter = RateLimiter(settings(enabled=False), Hands())
    assert taken(limiter, limiter.tenant("acme", 0), 50) == 50
    limiter.change(settings(caller=3))
    assert taken(limiter, limiter.tenant("acme", 0), 50) == 3
    limiter.change(settings(enabled=False))
    assert taken(limiter, limiter.tenant("acme", 0), 50) == 50
