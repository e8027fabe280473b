"""The budget: what counts, who gives way first, and what a refusal says."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykyro.memory.budget import NEAR_S, Kind, MemoryBudget
from pykyro.model.errors import ResourceExhausted
from pykyro.system.memory import anonymous_bytes

MIB = 1 << 20


class Process:
    """A process whose memory and time a test sets."""

    def __init__(self, resident: int = 0) -> None:
        self.resident = resident
        self.now_s = 0.0
        self.trimmed = 0
        self.on_trim: Callable[[], None] = lambda: None

    def trim(self) -> None:
        self.trimmed += 1
        self.on_trim()

    def budget(self, limit: int = 100 * MIB) -> MemoryBudget:
        return MemoryBudget(limit, lambda: self.resident, self.trim, lambda: self.now_s)


def test_what_is_charged_and_what_was_there_before_counts() -> None:
    budget = Process(resident=10 * MIB).budget()
    budget.account("hot tier").add(20 * MIB)
    held = budget.account("answers").charge(5 * MIB)
    assert budget.used_bytes == 35 * MIB
    held.set(1 * MIB)
    held.add(1 * MIB)
    assert budget.used_bytes == 32 * MIB
    held.give_back()
    held.give_back()
    assert budget.status().parts == {
        "hot tier": 20 * MIB,
        "program": 10 * MIB,
        "answers": 0,
        "not accounted for": 0,
    }
    assert budget.pressure == 0.3


def test_memory_nobody_charges_counts_once_it_is_measured() -> None:
    process = Process(resident=10 * MIB)
    budget = process.budget()
    budget.account("hot tier").add(5 * MIB)
    process.now_s, process.resident = 1.0, 60 * MIB
    assert budget.used_bytes == 60 * MIB
    assert budget.status().parts["not accounted for"] == 45 * MIB
    budget.account("hot tier").add(7 * MIB)  # since the measurement
    assert budget.used_bytes == 67 * MIB


def test_kinds_give_way_one_after_the_other() -> None:
    budget = Process().budget()
    account = budget.account("hot tier")
    order = [Kind.CAN_WAIT, Kind.WRITE, Kind.LARGE_READ, Kind.RELIEF, Kind.READ]
    refused = []
    for percent in (84, 86, 91, 101, 106):
        account.add(percent * MIB - account.used)
        refused.append([kind for kind in order if not budget.has_room(kind)])
    assert refused == [[], order[:1], order[:3], order[:4], order]


def test_caches_shrink_before_anything_is_refused() -> None:
    budget = Process().budget()
    cache = budget.account("query cache").charge(60 * MIB)
    asked: list[int] = []

    def shrink(count: int) -> int:
        asked.append(count)
        gone = min(count, cache.used)
        cache.add(-gone)
        return gone

    budget.register_cache("query cache", shrink)
    budget.account("hot tier").add(15 * MIB)
    budget.admit(Kind.CAN_WAIT, 5 * MIB)
    assert asked == []
    budget.admit(Kind.CAN_WAIT, 25 * MIB)
    assert asked == [20 * MIB]
    assert cache.used == 40 * MIB
    assert budget.status().refused[Kind.CAN_WAIT] == 0


def test_caches_that_have_nothing_are_not_asked_again_at_once() -> None:
    process, asked = Process(), [0]
    budget = process.budget()

    def shrink(count: int) -> int:
        asked[0] += 1
        return 0

    budget.register_cache("empty", shrink)
    budget.account("hot tier").add(95 * MIB)
    for _ in range(100):
        assert not budget.has_room(Kind.WRITE)
    assert asked[0] == 1
    process.now_s += NEAR_S
    assert not budget.has_room(Kind.WRITE)
    assert asked[0] == 2
    budget.forget_cache("empty", shrink)
    process.now_s += NEAR_S
    assert not budget.has_room(Kind.WRITE)
    assert asked[0] == 2


def test_the_allocator_is_asked_before_a_refusal_and_not_too_often() -> None:
    process = Process(resident=10 * MIB)
    budget = process.budget()
    process.now_s, process.resident = 1.0, 95 * MIB
    process.on_trim = lambda: setattr(process, "resident", 30 * MIB)
    budget.admit(Kind.WRITE)
    assert process.trimmed == 1
    process.resident, process.on_trim = 95 * MIB, lambda: None
    process.now_s += 0.5
    for _ in range(10):
        assert not budget.has_room(Kind.WRITE)
    assert process.trimmed == 1
    process.now_s += 1.0
    assert not budget.has_room(Kind.WRITE)
    assert process.trimmed == 2


def test_a_refusal_names_limit_parts_and_way_out() -> None:
    process = Process(resident=10 * MIB)
    budget = process.budget()
    budget.account("hot tier").add(70 * MIB)
    with pytest.raises(ResourceExhausted) as caught:
        budget.admit(Kind.WRITE, 15 * MIB)
    assert str(caught.value) == (
        "memory is short: 80 MiB of memory.limit = 100 MiB are used (hot tier 70 MiB, program 10 MiB), and a write "
        "that needs 15 MiB may begin up to 90 MiB; try again later, ask for less at once, or raise memory.limit"
    )
    assert caught.value.retry_after_s == 1.0
    with pytest.raises(ResourceExhausted, match="ask for less at once, or raise") as caught:
        budget.admit(Kind.WRITE, 81 * MIB)
    assert caught.value.retry_after_s is None  # waiting cannot help


def test_since_when_a_kind_is_refused() -> None:
    process = Process()
    budget = process.budget()
    charge = budget.account("hot tier").charge(95 * MIB)
    assert not budget.has_room(Kind.WRITE)
    process.now_s = 7.0
    assert not budget.has_room(Kind.WRITE)
    assert budget.status().short_since_s == {Kind.WRITE: 7.0}
    charge.give_back()
    assert budget.status().short_since_s == {}
    process.now_s = 9.0
    charge.set(95 * MIB)
    assert not budget.has_room(Kind.WRITE)
    assert budget.status().short_since_s == {Kind.WRITE: 0.0}


def test_what_is_refused_is_not_charged() -> None:
    budget = Process().budget()
    answers = budget.account("answers")
    budget.take(answers, 10 * MIB, Kind.LARGE_READ)
    with pytest.raises(ResourceExhausted, match="a large read that needs 81 MiB"):
        budget.take(answers, 81 * MIB, Kind.LARGE_READ)
    assert budget.used_bytes == answers.used == 10 * MIB
    assert budget.status().refused[Kind.LARGE_READ] == 1


def test_a_crowd_gets_no_more_than_there_is() -> None:
    budget = MemoryBudget(100 * MIB, measure=None)
    answers = budget.account("answers")
    let_in: list[int] = []

    def ask() -> None:
        for _ in range(50):
            try:
                budget.take(answers, MIB, Kind.LARGE_READ)
            except ResourceExhausted:
                continue
            let_in.append(1)

    crowd = [Thread(target=ask) for _ in range(8)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert 0 < len(let_in) <= 90
    assert budget.used_bytes == len(let_in) * MIB


def test_charges_of_many_threads_add_up() -> None:
    budget = MemoryBudget(100 * MIB, measure=None)

    def charge() -> None:
        account = budget.account("hot tier")
        for _ in range(10_000):
            account.add(3)
            account.add(-2)

    threads = [Thread(target=charge) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert budget.used_bytes == budget.account("hot tier").used == 40_000


def test_the_limit_may_change() -> None:
    budget = Process().budget()
    budget.account("hot tier").add(60 * MIB)
    assert budget.has_room(Kind.WRITE)
    budget.limit_bytes = 61 * MIB
    assert not budget.has_room(Kind.WRITE)
    budget.limit_bytes = 200 * MIB
    assert budget.has_room(Kind.WRITE, 100 * MIB)


def test_a_real_process_is_measured() -> None:
    now_s = [0.0]
    budget = MemoryBudget(1 << 40, trim=lambda: None, now_s=lambda: now_s[0])
    before = anonymous_bytes()
    held = bytearray(b"x") * (64 * MIB)
    assert anonymous_bytes() - before > 60 * MIB
    budget.limit_bytes = budget.status().parts["program"] + 32 * MIB
    now_s[0] = 1.0
    assert not budget.has_room(Kind.READ)
    assert len(held) == 64 * MIB


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50)), max_size=40))
def test_the_sum_is_that_of_the_accounts(steps: list[tuple[str, int]]) -> None:
    budget = MemoryBudget(1000, measure=None)
    charges = {name: budget.account(name).charge() for name in "abc"}
    for name, size in steps:
        charges[name].set(size)
    assert budget.used_bytes == sum(charge.used for charge in charges.values())
    assert budget.status().parts == {name: charge.used for name, charge in charges.items()}
