"""Who waits is served by turns, by what it costs."""

from __future__ import annotations

from collections import Counter

import pytest

from pykyro.service.fair_queue import FairQueue


def test_one_that_sends_a_hundred_times_as_much_waits_behind_itself() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(100):
        queue.put(("greedy", ""), 1.0, "greedy")
    queue.put(("modest", ""), 1.0, "modest")
    assert [queue.take() for _ in range(3)] == ["greedy", "modest", "greedy"]
    assert queue.count == 98


def test_turns_go_by_cost_also_for_who_comes_and_goes() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(100):
        queue.put(("cheap", ""), 1.0, "cheap")
    served: Counter[str] = Counter()
    queue.put(("dear", ""), 10.0, "dear")
    for _ in range(55):
        item = queue.take()
        served[item] += 1
        if item == "dear":  # one at a time, each when the last is done
            queue.put(("dear", ""), 10.0, "dear")
    assert served == {"cheap": 50, "dear": 5}


def test_more_connections_are_not_served_more() -> None:
    queue: FairQueue[str] = FairQueue()
    for connection in range(50):
        queue.put(("one address", str(connection)), 1.0, "many")
    for _ in range(10):
        queue.put(("another", "only"), 1.0, "one")
    assert Counter(queue.take() for _ in range(20)) == {"many": 10, "one": 10}


def test_who_has_most_gives_up_its_newest_for_one_who_has_less() -> None:
    queue: FairQueue[int] = FairQueue()
    for number in range(5):
        queue.put(("greedy", ""), 1.0, number)
    assert queue.drop_for(("greedy", "")) is None
    assert queue.drop_for(("modest", "")) == 4
    queue.put(("modest", ""), 1.0, 10)
    assert sorted(queue.take() for _ in range(5)) == [0, 1, 2, 3, 10]
    assert queue.drop_for(("modest", "")) is None
    with pytest.raises(IndexError):
        queue.take()


def test_a_line_that_was_dropped_from_until_it_was_empty_can_be_used_again() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.put(("a", "1"), 1.0, "x")
    queue.put(("a", "2"), 1.0, "y")
    assert queue.drop_for(("b", "")) in ("x", "y")
    queue.put(("b", ""), 1.0, "z")
    queue.put(("a", "1"), 1.0, "again")
    assert {queue.take() for _ in range(queue.count)} >= {"z", "again"}
    assert queue.count == 0
