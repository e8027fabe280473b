"""The memory of filter results stays within its bytes and keeps what is used."""

from __future__ import annotations

import pytest
from pyroaring import FrozenBitMap

from pykyro.index.metadata.bitmaps import size_bytes
from pykyro.index.metadata.result_cache import ENTRY_BYTES, ResultCache, filter_bytes
from pykyro.memory.budget import MemoryBudget
from pykyro.model.filter import And, Exact, Filter, In, Not, Range

SPARSE, DENSE = FrozenBitMap([1]), FrozenBitMap(range(0, 200_000, 2))


def entry_bytes(condition: Filter, matched: FrozenBitMap) -> int:
    return ENTRY_BYTES + filter_bytes(condition) + size_bytes(matched)


def test_what_was_put_is_got_with_the_rows_seen() -> None:
    cache = ResultCache(10_000)
    assert cache.get(Exact("a", "b")) is None
    cache.put(Exact("a", "b"), SPARSE, seen=7)
    assert cache.get(Exact("a", "b")) == (SPARSE, 7)
    cache.put(Exact("a", "b"), FrozenBitMap(), seen=9)
    assert cache.get(Exact("a", "b")) == (FrozenBitMap(), 9)


def test_the_least_recently_used_makes_room() -> None:
    cache = ResultCache(3 * entry_bytes(Exact("k", "a"), SPARSE))
    for value in "abc":
        cache.put(Exact("k", value), SPARSE)
    cache.get(Exact("k", "a"))
    cache.put(Exact("k", "d"), SPARSE)
    assert [cache.get(Exact("k", value)) is not None for value in "abcd"] == [True, False, True, True]


def test_replacing_an_entry_frees_its_bytes() -> None:
    cache = ResultCache(2000)
    for _ in range(100):
        cache.put(Exact("k", "a"), SPARSE)
    cache.put(Exact("k", "b"), SPARSE)
    assert cache.get(Exact("k", "a")) is not None


def test_a_set_larger_than_the_cache_is_not_kept() -> None:
    cache = ResultCache(4000)
    cache.put(Exact("k", "a"), SPARSE)
    cache.put(Exact("k", "b"), DENSE)
    assert cache.get(Exact("k", "b")) is None
    cache.put(Exact("k", "c"), SPARSE)
    assert cache.get(Exact("k", "c")) is not None


@pytest.mark.parametrize(
    "condition",
    [
        Exact("k", "v" * 1_000_000),
        Range("k", "gt", "v" * 1_000_000),
        In("k", ("a", "v" * 1_000_000)),
        Not(And((Exact("k" * 1_000_000, "v"), Exact("k", "v")))),
    ],
    ids=["value", "bound", "list", "nested"],
)
def test_a_long_filter_is_counted_with_its_texts(condition: Filter) -> None:
    assert 1_000_000 < filter_bytes(condition) < 1_001_000
    cache = ResultCache(1_500_000)
    cache.put(condition, SPARSE)
    assert (cache.get(condition), cache.size_bytes) == (None, 0)
    cache = ResultCache(3_000_000)
    cache.put(condition, SPARSE)
    assert cache.size_bytes == entry_bytes(condition, SPARSE)


def test_what_is_remembered_is_charged_until_it_goes() -> None:
    account = MemoryBudget(1 << 30, measure=None).account("filter cache")
    cache, other = ResultCache(100_000, account), ResultCache(100_000, account)
    for value in "abc":
        cache.put(Exact("k", value), SPARSE)
    other.put(Exact("k", "d"), DENSE)
    assert account.used == cache.size_bytes + other.size_bytes
    one = entry_bytes(Exact("k", "a"), SPARSE)
    assert cache.forget(one + 1) == 2 * one
    assert [cache.get(Exact("k", value)) is not None for value in "abc"] == [False, False, True]
    assert cache.forget(1 << 20) == one
    assert cache.forget(1 << 20) == 0
    assert account.used == other.size_bytes > 16_000
    del other
    assert account.used == 0
