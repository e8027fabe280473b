"""Joining two sets of links, and linking rows that nothing links to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pykyro.index.vector.links import Links, connect, merged

WIDTH = 6
places = st.lists(st.integers(0, 30), max_size=WIDTH, unique=True)


def links(rows: Sequence[Sequence[int]]) -> Links:
    return np.array([[*row, *[-1] * (WIDTH - len(row))] for row in rows], dtype=np.int32)


@given(st.lists(st.tuples(places, places), min_size=1, max_size=20))
def test_both_sets_get_half_of_the_places(rows: list[tuple[list[int], list[int]]]) -> None:
    joined = merged(links([first for first, _ in rows]), links([second for _, second in rows]))
    assert joined.dtype == np.int32
    for (first, second), row in zip(rows, joined.tolist(), strict=True):
        half = WIDTH // 2
        offered = [*first[:half], *second[:half], *first[half:], *second[half:]]
        expected = list(dict.fromkeys(offered))[:WIDTH]
        assert row == expected + [-1] * (WIDTH - len(expected))


def reached(graph: Links, entry: int) -> set[int]:
    seen, waiting = {entry}, [entry]
    while waiting:
        fresh = {int(row) for row in graph[waiting.pop()] if row >= 0} - seen
        seen |= fresh
        waiting += fresh
    return seen


@given(st.lists(st.lists(st.integers(0, 19), max_size=WIDTH - 1, unique=True), min_size=20, max_size=20))
def test_connecting_keeps_all_links_and_reaches_all_rows_that_link_to_reached_ones(
    rows: list[list[int]],
) -> None:
    before = links(rows)
    after = before.copy()
    count = connect(after, 0)
    assert all(set(old) - {-1} <= set(new) for old, new in zip(before.tolist(), after.tolist(), strict=True))
    assert count == (after >= 0).sum() - (before >= 0).sum()
    seen = reached(after, 0)
    assert reached(before, 0) <= seen
    for row in set(range(20)) - seen:  # no row it links to could take it in
        assert all(host not in seen or after[host, -1] >= 0 for host in rows[row])


def test_a_row_without_incoming_links_is_found_through_its_nearest() -> None:
    graph = links([[1], [0, 2], [1], [2, 0], [3]])
    assert connect(graph, 0) == 2
    assert graph.tolist() == links([[1], [0, 2], [1, 3], [2, 0, 4], [3]]).tolist()


def test_a_whole_part_is_connected_by_one_link() -> None:
    graph = links([[1], [0], [3, 1], [2]])
    assert connect(graph, 0) == 1
    assert reached(graph, 0) == {0, 1, 2, 3}
