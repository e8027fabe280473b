"""However many engines are open, one process builds for seals and one for merges."""

from __future__ import annotations

import threading

from tests.patience import PATIENCE_S, wait_until

from pykyro.engine.maintenance.process_builder import _Turns


def test_builds_take_turns() -> None:
    turns, running, most, done = _Turns(), [0], [0], [0]
    changing = threading.Lock()

    def build() -> None:
        assert turns.take(lambda: False)
        with changing:
            running[0] += 1
            most[0] = max(most[0], running[0])
        with changing:
            running[0] -= 1
            done[0] += 1
        turns.give_back()

    threads = [threading.Thread(target=build) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert (most, done, turns.taken) == ([1], [8], False)


def test_a_build_that_is_given_up_waits_no_longer() -> None:
    turns, given_up, answers = _Turns(), threading.Event(), list[bool]()
    assert turns.take(lambda: False)
    waiting = threading.Thread(target=lambda: answers.append(turns.take(given_up.is_set)))
    waiting.start()
    given_up.set()
    turns.look()
    waiting.join(PATIENCE_S)
    wait_until(lambda: answers == [False])
    assert turns.taken
