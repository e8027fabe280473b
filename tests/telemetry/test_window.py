"""The rolling window against the plain definition: what was counted in the last WINDOW_S seconds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.crash.clock import FakeClock

from pykyro.telemetry.window import STEP_S, WINDOW_S, RollingTotals, Totals

STEPS = st.lists(st.tuples(st.floats(0.5, 3 * STEP_S), st.integers(0, 5)), max_size=150)


@given(STEPS)
def test_the_window_holds_what_was_counted_in_it(steps: list[tuple[float, int]]) -> None:
    clock = FakeClock()
    rolling = RollingTotals(clock.monotonic_s)
    events: list[tuple[float, int]] = []
    total = 0
    for pause_s, count in steps:
        clock.advance(pause_s)
        rolling.note(Totals(queries=total))
        total += count
        events.append((clock.monotonic_s(), count))
    found = rolling.lately(Totals(queries=total)).queries
    now_s = clock.monotonic_s()

    def counted_within(window_s: float) -> int:
        return sum(count for at_s, count in events if at_s > now_s - window_s)

    # A note is at most STEP_S and one pause older than it could be.
    assert counted_within(WINDOW_S) <= found <= counted_within(WINDOW_S + 4 * STEP_S)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    clock = FakeClock()
    rolling = RollingTotals(clock.monotonic_s)
    bad = Totals(queries=100, failed=50, hits=1, misses=3)
    assert rolling.lately(bad).error_rate == 0.5
    assert rolling.lately(bad).hit_rate == 0.25
    for _ in range(int(WINDOW_S)):
        clock.advance(1)
        rolling.note(bad)
    clock.advance(STEP_S)
    assert rolling.lately(bad) == Totals()
    assert rolling.lately(bad).error_rate == 0.0
    good = Totals(queries=200, failed=50, hits=1, misses=3)
    assert rolling.lately(good) == Totals(queries=100)


def test_notes_do_not_pile_up() -> None:
    clock = FakeClock()
    rolling = RollingTotals(clock.monotonic_s)
    for _ in range(10_000):
        clock.advance(1)
        rolling.note(Totals())
    assert len(rolling._notes) <= WINDOW_S / STEP_S + 2
