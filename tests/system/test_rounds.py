"""Work of many owners in a few threads: each is done again and again, one at a time, and no more once it is ended."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
from tests.patience import PATIENCE_S, wait_until

from pykyro.system.rounds import Round, Rounds

NAME = "rounds-under-test"


@pytest.fixture
def rounds() -> Iterator[Rounds]:
    yield Rounds(NAME, 2)
    wait_until(lambda: not threads(), "the threads end with the last round")


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == NAME]


def test_a_round_is_worked_at_again_and_again_until_it_is_ended(rounds: Rounds) -> None:
    done: list[int] = []

    def work() -> float:
        done.append(1)
        return 0.0

    one = rounds.add(lambda: True, work)
    wait_until(lambda: len(done) >= 3)
    rounds.end(one)
    count = len(done)
    other = rounds.add(lambda: True, lambda: 0.0)
    rounds.end(other)
    assert len(done) == count


def test_a_round_that_is_not_due_is_looked_at_and_not_worked_at(rounds: Rounds) -> None:
    looks: list[int] = []

    def looks_due() -> bool:
        looks.append(1)
        return False

    def work() -> float:
        raise AssertionError("it was not due")

    one = rounds.add(looks_due, work)
    wait_until(lambda: len(looks) >= 2)
    rounds.end(one)


def test_many_owners_share_the_threads_and_a_long_work_holds_up_no_other(rounds: Rounds) -> None:
    held, begun, done = threading.Event(), threading.Event(), set[int]()

    def long() -> float:
        begun.set()
        held.wait(PATIENCE_S)
        return 1.0

    def short(owner: int) -> float:
        done.add(owner)
        return 0.01

    added = [rounds.add(lambda: True, lambda owner=owner: short(owner)) for owner in range(20)]  # type: ignore[misc]
    slow = rounds.add(lambda: True, long)
    assert begun.wait(PATIENCE_S)
    done.clear()
    wait_until(lambda: len(done) == 20)
    assert len(threads()) == 2
    held.set()
    for one in [*added, slow]:
        rounds.end(one)


def test_ending_waits_for_the_work_that_was_begun(rounds: Rounds) -> None:
    begun, may_end, order = threading.Event(), threading.Event(), list[str]()

    def work() -> float:
        begun.set()
        may_end.wait(PATIENCE_S)
        order.append("worked")
        return 0.0

    one = rounds.add(lambda: True, work)
    assert begun.wait(PATIENCE_S)

    def end() -> None:
        rounds.end(one)
        order.append("ended")

    ender = threading.Thread(target=end)
    ender.start()
    may_end.set()
    ender.join(PATIENCE_S)
    assert order == ["worked", "ended"]


def test_a_round_may_end_itself(rounds: Rounds) -> None:
    added: list[Round] = []
    ended = threading.Event()

    def work() -> float:
        assert rounds.is_here
        rounds.end(added[0])
        ended.set()
        return 0.0

    looks = threading.Event()
    added.append(rounds.add(looks.is_set, work))
    looks.set()
    assert ended.wait(PATIENCE_S)
    assert not rounds.is_here


def test_a_failure_nobody_foresaw_ends_no_thread(rounds: Rounds) -> None:
    failed, worked = threading.Event(), threading.Event()

    def failing() -> float:
        failed.set()
        raise RuntimeError("nobody foresaw this")

    def work() -> float:
        worked.set()
        return 0.0

    one = rounds.add(lambda: True, failing)
    assert failed.wait(PATIENCE_S)
    other = rounds.add(lambda: True, work)
    assert worked.wait(PATIENCE_S)
    rounds.end(one)
    rounds.end(other)


def test_a_forked_child_begins_anew(rounds: Rounds) -> None:
    one = rounds.add(lambda: False, lambda: 0.0)
    child = os.fork()
    if not child:
        worked = threading.Event()
        rounds.add(lambda: True, lambda: (worked.set(), 1.0)[1])  # type: ignore[func-returns-value]
        os._exit(0 if worked.wait(PATIENCE_S) else 1)
    assert os.waitpid(child, 0)[1] == 0
    rounds.end(one)
