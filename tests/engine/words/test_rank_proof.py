"""The proof of a fusion by ranks: against all ways in which lists can go on."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.longer import longer

from pykyro.engine.words.fusion import by_ranks
from pykyro.engine.words.rank_proof import RankedList, needed_depth


def first(lists: list[list[int]], weights: tuple[float, float]) -> tuple[list[int], dict[int, float]]:
    worth = by_ranks(lists, weights)
    return sorted(worth, key=lambda doc_id: (-worth[doc_id], doc_id)), worth


@settings(max_examples=longer(300), deadline=None)
@given(
    data=st.data(),
    count=st.integers(1, 25),
    weights=st.tuples(st.sampled_from([0.0, 0.01, 1.0, 50.0]), st.sampled_from([0.01, 1.0, 2.0])),
    k=st.integers(1, 6),
)
def test_what_stands_firm_is_what_whole_lists_give(
    data: st.DataObject, count: int, weights: tuple[float, float], k: int
) -> None:
    ids = list(range(1, count + 1))
    vector = data.draw(st.permutations(ids))
    text = data.draw(st.permutations(ids))[: data.draw(st.integers(0, count))]
    wanted = first([vector, text], weights)[0][:k]
    depths = data.draw(st.tuples(st.integers(1, count + 1), st.integers(1, count + 1)))
    read = [vector[: depths[0]], text[: depths[1]]]
    order, worth = first(read, weights)
    has_all = len(vector) < depths[0]
    lists = [
        RankedList(read[0], weights[0], has_all),
        RankedList(read[1], weights[1], len(text) < depths[1]),
    ]
    needed = needed_depth(order, worth, lists, k, may_be_unread=not has_all)
    if needed == 0.0:
        assert order[:k] == wanted
    if has_all and lists[1].has_end:
        assert needed == 0.0


def test_a_depth_that_would_do_is_told() -> None:
    lists = [RankedList([1, 2, 3], 1.0, False), RankedList([1, 2, 3], 1.0, False)]
    order, worth = first([[1, 2, 3], [1, 2, 3]], (1.0, 1.0))
    assert needed_depth(order, worth, lists, 3, may_be_unread=True) == 0.0
    lists = [RankedList([1, 2], 1.0, False), RankedList([3, 4], 1.0, False)]
    order, worth = first([[1, 2], [3, 4]], (1.0, 1.0))
    assert needed_depth(order, worth, lists, 2, may_be_unread=True) == math.inf
    # 3 is worth 0.9 / 61: that it stays below 1 / 61 is known where no place in the other list gives it the rest.
    lists = [RankedList([1], 1.0, False), RankedList([3], 0.9, False)]
    order, worth = first([[1], [3]], (1.0, 0.9))
    needed = needed_depth(order, worth, lists, 1, may_be_unread=True)
    assert 1 / (60 + needed) <= 0.1 / 61
    assert needed < math.inf
