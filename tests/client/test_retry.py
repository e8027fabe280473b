"""When there is another attempt, and how long it waits."""

from __future__ import annotations

import time

import pytest

from pykyro.client.retry import (
    ATTEMPTS_MAX,
    FIRST_WAIT_S,
    GONE_WAIT_S_MAX,
    STREAM,
    STREAM_ONCE_MORE,
    WAIT_S_MAX,
    Attempts,
)
from pykyro.model.errors import DeadlineExceeded, InvalidArgument, KyroError, ResourceExhausted, Unavailable


def test_waits_for_a_server_that_is_gone_grow_and_go_on() -> None:
    attempts = Attempts(60, idempotent=True)
    for number in range(10 * ATTEMPTS_MAX):
        expected = min(GONE_WAIT_S_MAX, FIRST_WAIT_S * 2**number)
        assert expected / 2 <= attempts.wait_after(Unavailable("gone")) <= expected


def test_waits_for_a_server_that_sheds_load_end() -> None:
    attempts = Attempts(60, idempotent=False)
    busy = ResourceExhausted("busy", retry_after_s=0.001)
    for number in range(ATTEMPTS_MAX - 1):
        expected = min(WAIT_S_MAX, FIRST_WAIT_S * 2**number)
        assert expected / 2 <= attempts.wait_after(busy) <= expected
    with pytest.raises(ResourceExhausted) as caught:
        attempts.wait_after(busy)
    assert caught.value is busy


def test_the_time_ends_the_waits_and_the_error_says_so() -> None:
    attempts, waits = Attempts(0.05, idempotent=True), list[float]()

    def wait_until_told_not_to() -> None:
        while True:
            waits.append(attempts.wait_after(Unavailable("gone")))
            time.sleep(waits[-1])

    with pytest.raises(Unavailable, match=r"gave up after .* s and .* attempts \(timeout_s = 0.05\): gone$"):
        wait_until_told_not_to()
    assert waits


def test_a_deadline_after_waiting_tells_what_was_waited_for() -> None:
    attempts = Attempts(60, idempotent=True)
    attempts.wait_after(Unavailable("connection refused"))
    with pytest.raises(Unavailable, match=r"2 attempts .*: connection refused"):
        attempts.wait_after(DeadlineExceeded("Deadline Exceeded"))


def test_what_was_never_sent_is_sent_again_whatever_it_is() -> None:
    attempts = Attempts(60, idempotent=False)
    assert attempts.wait_after(Unavailable("refused"), unsent=True) > 0
    with pytest.raises(Unavailable, match="gone"):
        attempts.wait_after(Unavailable("gone"))


def test_two_clients_do_not_wait_in_step() -> None:
    waits = {Attempts(60, idempotent=True).wait_after(Unavailable("gone")) for _ in range(20)}
    assert len(waits) > 1


def test_the_servers_hint_is_the_least_wait() -> None:
    busy = ResourceExhausted("busy", retry_after_s=7)
    assert Attempts(60, idempotent=False).wait_after(busy) == 7
    with pytest.raises(ResourceExhausted):
        Attempts(6, idempotent=True).wait_after(busy)


@pytest.mark.parametrize(
    ("error", "idempotent"),
    [
        (Unavailable("gone"), False),
        (ResourceExhausted("full"), True),
        (InvalidArgument("wrong"), True),
        (DeadlineExceeded("late"), True),
        (KyroError("internal"), True),
    ],
)
def test_no_second_attempt(error: KyroError, idempotent: bool) -> None:
    with pytest.raises(type(error)) as caught:
        Attempts(60, idempotent=idempotent).wait_after(error)
    assert caught.value is error


def test_time_left_is_never_negative() -> None:
    assert Attempts(1e-9, idempotent=True).remaining_s == 0
    assert 59 < Attempts(60, idempotent=True).remaining_s <= 60


def test_progress_begins_the_count_anew() -> None:
    attempts = Attempts(600, idempotent=True)
    for _ in range(3 * ATTEMPTS_MAX):
        assert attempts.wait_after(Unavailable("gone")) <= FIRST_WAIT_S
        attempts.progressed()


def test_a_stream_that_was_shed_rests() -> None:
    busy = ResourceExhausted("busy", retry_after_s=0.001)
    attempts = Attempts(60, idempotent=True, retry_limits=STREAM)
    assert [attempts.wait_after(busy) for _ in range(ATTEMPTS_MAX - 1)] == [1.0] * (ATTEMPTS_MAX - 1)
    trial = Attempts(60, idempotent=True, retry_limits=STREAM_ONCE_MORE)
    assert trial.wait_after(busy) == 1.0
    with pytest.raises(ResourceExhausted):
        trial.wait_after(busy)
    # A server that is gone is another matter, and is waited for as ever.
    gone = Attempts(60, idempotent=True, retry_limits=STREAM_ONCE_MORE)
    assert max(gone.wait_after(Unavailable("gone")) for _ in range(ATTEMPTS_MAX - 1)) < 1.0
