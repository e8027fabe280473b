"""The rate that was asked for, whatever the sizes, on a clock that only sleeping moves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pykyro.backup.archive.writer import Throttle


class _Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now_s += seconds


@given(st.lists(st.integers(1, 10_000_000), min_size=1), st.floats(1e3, 1e9))
def test_no_stretch_is_faster_than_the_rate_and_none_slower(sizes: list[int], rate: float) -> None:
    clock = _Clock()
    throttle = Throttle(rate, now_s=lambda: clock.now_s, sleep=clock.sleep)
    for size in sizes:
        throttle.take(size)
    passed_s, asked_s = clock.now_s - 100.0, sum(sizes) / rate
    assert asked_s - 0.26 <= passed_s <= asked_s + 1e-3


def test_time_without_traffic_is_not_saved_up_for_a_flood() -> None:
    clock = _Clock()
    throttle = Throttle(1000, now_s=lambda: clock.now_s, sleep=clock.sleep)
    clock.now_s += 3600
    started_s = clock.now_s
    for _ in range(100):
        throttle.take(100)
    assert clock.now_s - started_s >= 9.7


def test_without_a_rate_nothing_waits() -> None:
    clock = _Clock()
    Throttle(None, now_s=lambda: clock.now_s, sleep=clock.sleep).take(1 << 40)
    assert clock.now_s == 100.0
