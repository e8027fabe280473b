"""Each failure doubles the pause, up to a bound."""

from __future__ import annotations

from pykyro.system.backoff import pause_s


def test_the_pause_doubles_up_to_its_bound() -> None:
    assert [pause_s(failures, 0.25, 3.0) for failures in range(1, 7)] == [0.25, 0.5, 1.0, 2.0, 3.0, 3.0]
    assert pause_s(10**6, 1.0, 60.0) == 60.0
