"""Writes are refused before reads when memory is short, and what is held is charged and given back."""

from __future__ import annotations

import asyncio
import gc

import pytest

from pykyro.memory.budget import Kind, MemoryBudget
from pykyro.model.errors import ResourceExhausted
from pykyro.service.admission import HELD_TWICE, Admission
from pykyro.service.rpc_rules import RULES_OF_RPCS
from pykyro.service.unread_answers import UnreadAnswers

MIB = 1 << 20


def test_writes_are_refused_before_reads_and_deletions() -> None:
    budget = MemoryBudget(100 * MIB, measure=None)
    admission = Admission(budget)
    held = budget.account("hot tier").charge(92 * MIB)
    asyncio.run(admission.look())
    assert admission.short
    for rpc, refused in {
        "Insert": True,
        "UpdateMetadata": True,
        "BulkInsert": True,
        "Search": False,
        "Delete": False,
        "Health": False,
    }.items():
        if not refused:
            admission.check(RULES_OF_RPCS[rpc].takes, 100)
            continue
        with pytest.raises(ResourceExhausted, match="hot tier") as error:
            admission.check(RULES_OF_RPCS[rpc].takes, 100)
        assert error.value.retry_after_s is not None
    with pytest.raises(ResourceExhausted, match="a large read"):
        admission.check(Kind.READ, 100 << 10)
    held.set(104 * MIB)
    admission.check(Kind.READ, 100)
    held.set(106 * MIB)
    with pytest.raises(ResourceExhausted):
        admission.check(Kind.READ, 100)
    admission.check(RULES_OF_RPCS["Health"].takes, 100)
    held.give_back()
    asyncio.run(admission.look())
    assert not admission.short


def test_an_answer_is_charged_until_nobody_has_it() -> None:
    budget = MemoryBudget(160 * MIB, measure=None)
    admission, answers = Admission(budget), budget.account("answers")
    with pytest.raises(
        ResourceExhausted, match=r"21 MiB, 7 documents of 3.0 MiB on average.* at most 20 MiB"
    ):
        admission.room_for_answer(21 * MIB, 7)
    kept = [admission.room_for_answer(20 * MIB, 1) for _ in range(3)]
    assert answers.used == 3 * 20 * MIB * HELD_TWICE
    with pytest.raises(ResourceExhausted) as error:
        admission.room_for_answer(20 * MIB, 1)
    assert error.value.retry_after_s is not None
    assert answers.used == 3 * 20 * MIB * HELD_TWICE
    del kept
    gc.collect()
    assert answers.used == 0


def test_a_connection_with_too_much_unread_is_told_so_and_forgotten_when_it_has_read() -> None:
    unread = UnreadAnswers(MemoryBudget(160 * MIB, measure=None), port=1)
    assert unread.bytes_max == 10 * MIB
    one = unread.met("ipv4:127.0.0.1:5000")
    one.calls, one.bytes = 3, 12 * MIB
    assert "3 answers of 12 MiB wait on this connection" in str(unread.refusal(one))
    one.moved_s = float("inf")
    asyncio.run(unread.look())
    assert unread.connections == {one.peer: one}
    one.calls = one.bytes = 0
    asyncio.run(unread.look())
    assert not unread.connections
