"""The planner takes the cheaper way and never too small an ef."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykyro.index.vector.planner import Plan, choose, choose_again, ef_for_size, wanted_rows
from pykyro.model.limits import EF_SEARCH_MAX, K_MAX


def plan(
    rows: int,
    matched: int,
    *,
    k: int = 10,
    ef: int = 50,
    filtered: bool = False,
    has_graph: bool = True,
    exact: bool = False,
) -> Plan:
    return choose(rows=rows, matched=matched, k=k, ef=ef, filtered=filtered, has_graph=has_graph, exact=exact)


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (plan(100_000, 0), "nothing"),
        (plan(100_000, 0, exact=True), "nothing"),
        (plan(0, 0, has_graph=False), "nothing"),
        (plan(100_000, 5, k=0), "nothing"),
        (plan(100_000, 100_000), "graph"),
        (plan(100_000, 100_000, exact=True), "scan"),
        (plan(100_000, 100_000, has_graph=False), "scan"),
        (plan(100_000, 1), "scan"),
        (plan(100_000, 1_000), "scan"),
        (plan(100_000, 9_000), "scan"),
        (plan(100_000, 12_000), "graph"),
        (plan(1_000_000, 30_000), "scan"),
        (plan(1_000_000, 300_000), "graph"),
        (plan(1_000, 1_000), "scan"),
        (plan(20_000, 20_000), "graph"),
        (plan(20_000, 20_000, ef=EF_SEARCH_MAX), "scan"),
    ],
)
def test_the_kinds(made: Plan, kind: str) -> None:
    assert made.kind == kind
    assert (made.ef > 0) == (kind == "graph")
    assert made.reason


def test_ef_grows_with_the_segment_and_with_the_filter() -> None:
    assert plan(100_000, 100_000).ef == 50
    assert 100 < plan(100_000, 50_000).ef < 130
    assert 50 < plan(100_000, 99_000).ef < 55
    assert 140 < plan(100_000, 50_000, filtered=True).ef < 170
    assert plan(500_000, 500_000).ef == ef_for_size(50, 500_000) > 80


def test_ef_for_size_keeps_recall_at_the_sizes_measured() -> None:
    assert ef_for_size(41, 10_000) == ef_for_size(41, 100_000) == 41
    assert ef_for_size(41, 500_000) >= 72
    assert ef_for_size(EF_SEARCH_MAX, 10**9) == EF_SEARCH_MAX


@given(st.integers(0, 10**8), st.floats(0, 1), st.integers(1, K_MAX), st.integers(1, EF_SEARCH_MAX))
def test_ef_is_between_k_and_the_limit(rows: int, share: float, k: int, ef: int) -> None:
    made = plan(rows, round(rows * share), k=k, ef=ef)
    if made.kind == "graph":
        assert max(k, min(ef, EF_SEARCH_MAX)) <= made.ef <= EF_SEARCH_MAX


@given(st.integers(1, 10**7), st.integers(1, K_MAX), st.integers(1, 1000), st.data())
def test_more_matching_rows_never_turn_a_graph_search_into_a_scan(
    rows: int, k: int, ef: int, data: st.DataObject
) -> None:
    fewer = data.draw(st.integers(1, rows))
    if plan(rows, fewer, k=k, ef=ef).kind == "graph":
        assert plan(rows, data.draw(st.integers(fewer, rows)), k=k, ef=ef).kind == "graph"


def test_after_a_walk_that_met_too_few_the_share_it_saw_decides() -> None:
    wider = choose_again(wanted=50, met=25, ef=110, matched=43_000)
    assert wider.kind == "graph"
    assert 220 < wider.ef < 300
    assert choose_again(wanted=50, met=0, ef=110, matched=43_000).kind == "scan"
    assert choose_again(wanted=50, met=5, ef=110, matched=10_000).kind == "scan"
    assert choose_again(wanted=50, met=1, ef=EF_SEARCH_MAX, matched=10**8).kind == "scan"


@given(st.integers(1, 5000), st.data(), st.integers(1, EF_SEARCH_MAX), st.integers(1, 10**8))
def test_a_second_walk_is_wider_and_within_the_limit(
    wanted: int, data: st.DataObject, ef: int, matched: int
) -> None:
    met = data.draw(st.integers(0, min(wanted - 1, ef)))
    made = choose_again(wanted=wanted, met=met, ef=ef, matched=matched)
    assert made.kind == "scan" or ef < made.ef <= EF_SEARCH_MAX


def test_wanted_rows_are_what_a_search_without_a_filter_keeps() -> None:
    assert wanted_rows(rows=100_000, k=10, ef=50, filtered=False) == 50
    assert wanted_rows(rows=100_000, k=80, ef=50, filtered=False) == 80
    assert wanted_rows(rows=500_000, k=10, ef=50, filtered=False) == ef_for_size(50, 500_000)
    assert wanted_rows(rows=100_000, k=10, ef=50, filtered=True) == 70
    assert wanted_rows(rows=100_000, k=10, ef=EF_SEARCH_MAX, filtered=True) == EF_SEARCH_MAX
