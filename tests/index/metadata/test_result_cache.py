"""The memory of filter results stays within its bytes and keeps what is used."""

from __future__ import annotations

from pyroaring import FrozenBitMap

from pykyro.index.metadata.result_cache import ResultCache
from pykyro.model.filter import Exact

SPARSE, DENSE = FrozenBitMap([1]), FrozenBitMap(range(0, 200_000, 2))


def test_what_was_put_is_got_with_the_rows_seen() -> None:
    cache = ResultCache(10_000)
    assert cache.get(Exact("a", "b")) is None
    cache.put(Exact("a", "b"), SPARSE, seen=7)
    assert cache.get(Exact("a", "b")) == (SPARSE, 7)
    cache.put(Exact("a", "b"), FrozenBitMap(), seen=9)
    assert cache.get(Exact("a", "b")) == (FrozenBitMap(), 9)


def test_the_least_recently_used_makes_room() -> None:
    cache = ResultCache(3 * (512 + SPARSE.__sizeof__()))
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
