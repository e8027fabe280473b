"""Groups: against the answer in full, put into groups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.opening import open_small, put, settle, vectors
from tests.longer import longer

from pykyro.engine.arranging import grouping
from pykyro.engine.engine import Engine
from pykyro.model.arrangement import Arrangement, Grouping
from pykyro.model.filter import Exact, Filter
from pykyro.model.legs import Legs
from pykyro.model.requests import Delete, LegHit, SearchRequest, SearchResult
from pykyro.model.typed_text import IntText, ListText, NullText
from pykyro.model.types import Metric
from pykyro.model.words import WordsConfig

ROWS = vectors(120)
VALUES = (
    ["many"] * 6
    + ["some"] * 3
    + ["few", IntText("1"), "1", "", NullText("null"), ListText('["few","many"]'), None]
)
Row = tuple[int, float, str]
"""Id, score, group."""


@pytest.fixture(scope="module", params=list(Metric))
def stored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Engine, dict[int, dict[str, str]]]]:
    """Documents in segments and the hot tier, some deleted."""
    engine = open_small(tmp_path_factory.mktemp("groups"), words=WordsConfig(("body",)), metric=request.param)
    known = {}
    for at, row in enumerate(ROWS):
        value = VALUES[at * 7 % len(VALUES)]
        entries = {"body": "red " * (at % 5) + "fox", "kind": "ab"[at % 2]}
        known[at + 1] = entries if value is None else entries | {"value": value}
        engine.write(put(at + 1, row, **known[at + 1]))
        if at in (40, 80):
            engine.flush()
            settle(engine)
    for doc_id in (3, 33, 55):
        engine.write(Delete(doc_id))
        del known[doc_id]
    yield engine, known
    engine.close()


def in_groups(full: SearchResult, known: dict[int, dict[str, str]], k: int, size: int) -> list[Row]:
    groups: dict[tuple[type, str], list[Row]] = {}
    for hit in full.hits:
        value = known[hit.doc_id].get("value")
        if value is None or isinstance(value, ListText | NullText):
            continue
        groups.setdefault((type(value), value), []).append((hit.doc_id, hit.score, value))
    return [row for rows in [*groups.values()][:k] for row in rows[:size]]


def rows_of(found: SearchResult) -> list[Row]:
    rows = []
    for hit in found.hits:
        assert isinstance(hit, LegHit)
        assert hit.group is not None
        rows.append((hit.doc_id, hit.score, hit.group))
    return rows


@settings(max_examples=longer(40), deadline=None)
@given(
    at=st.integers(0, len(ROWS) - 1),
    k=st.integers(1, 7),
    size=st.integers(1, 8),
    text=st.sampled_from([None, "red", "red fox -brown"]),
    by_vector=st.booleans(),
    condition=st.sampled_from([None, Exact("kind", "a"), Exact("kind", "none")]),
    depth=st.sampled_from([1, 3, 20, 100]),
    least=st.sampled_from([0.0, 0.01, 0.3]),
)
def test_groups_are_those_of_the_answer_in_full(
    stored: tuple[Engine, dict[int, dict[str, str]]],
    at: int,
    k: int,
    size: int,
    text: str | None,
    by_vector: bool,
    condition: Exact | None,
    depth: int,
    least: float,
) -> None:
    engine, known = stored
    by_vector = by_vector or text is None
    legs = None if text is None else Legs(text, by_vector, depth=200)
    full = engine.search(
        SearchRequest(ROWS[at], 200, exact=True, filter=condition, legs=legs, min_score=least)
    )
    arranged = Legs(text, by_vector, depth=200, arrangement=Arrangement(Grouping("value", size)))
    with mock.patch.object(grouping, "_DEPTH_MIN", depth), mock.patch.object(grouping, "_OVER", 0):
        found = engine.search(
            SearchRequest(ROWS[at], k, exact=True, filter=condition, legs=arranged, min_score=least)
        )
    assert rows_of(found) == in_groups(full, known, k, size)
    assert found.exact
    assert found.note == full.note
    assert all(hit.metadata for hit in found.hits)


def test_a_value_that_has_nearly_all_hides_no_other(tmp_path: Path) -> None:
    """Thousands of documents of one value are nearer than the only ones of the others, in graphs too."""
    engine = open_small(tmp_path)
    rows = vectors(3000, seed=1)
    rows[:, 0] = 100.0
    rows[2990:, 0] = -100.0
    engine.commit([put(at + 1, row, value="a" if at < 2990 else str(at)) for at, row in enumerate(rows)])
    engine.flush()
    settle(engine)
    legs = Legs(None, True, arrangement=Arrangement(Grouping("value", 3)))
    found = engine.search(SearchRequest(rows[0], 11, legs=legs))
    groups = [group for _, _, group in rows_of(found)]
    assert groups[:3] == ["a", "a", "a"]
    assert sorted(groups[3:]) == [str(at) for at in range(2990, 3000)]
    assert "groups of 'value'" in found.plan
    engine.close()


def test_depth_is_bounded_and_the_answer_says_so(tmp_path: Path) -> None:
    engine = open_small(tmp_path, words=WordsConfig(("body",)))
    engine.commit([put(at + 1, row, value="b" if at == 9 else "a", body="x") for at, row in enumerate(ROWS)])
    legs = Legs("x", True, depth=1, arrangement=Arrangement(Grouping("value")))
    with mock.patch.object(grouping, "GROUP_DEPTH_MAX", 4), mock.patch.object(grouping, "_DEPTH_MIN", 1):
        found = engine.search(SearchRequest(ROWS[50], 2, legs=legs))
    assert (len(found.hits), found.exact) == (1, False)
    assert "the best 4 documents" in found.note
    found = engine.search(SearchRequest(ROWS[50], 2, legs=legs))
    assert (len(found.hits), found.note) == (2, "")
    engine.close()


def test_many_searches_do_not_keep_writers_waiting(tmp_path: Path) -> None:
    engine = open_small(tmp_path)
    engine.commit([put(at + 1, row, value=str(at // 2)) for at, row in enumerate(ROWS)])
    legs = Legs(None, True, arrangement=Arrangement(Grouping("value", 2)))
    request = SearchRequest(ROWS[0], 60, legs=legs)
    quiet = engine.search(request)
    assert (len(quiet.hits), quiet.exact, quiet.note) == (120, True, "")
    looked = grouping.GroupSearch._look

    def written_meanwhile(search: grouping.GroupSearch, depth: int, narrower: Filter | None) -> bool:
        engine.write(put(1, ROWS[0], value="0"))
        return looked(search, depth, narrower)

    with (
        mock.patch.object(grouping.GroupSearch, "_look", written_meanwhile),
        mock.patch.object(grouping, "_DEPTH_MIN", 20),
        mock.patch.object(grouping, "_OVER", 0),
    ):
        busy = engine.search(request)
        assert len(busy.hits) == 120
        assert not busy.exact
        assert "written meanwhile" in busy.note
    engine.close()


def test_text_ids_and_metadata_left_out(tmp_path: Path) -> None:
    engine = open_small(tmp_path)
    engine.commit([put(at + 1, ROWS[at % 3], value="ab"[at % 2]) for at in range(12)])
    legs = Legs(None, True, arrangement=Arrangement(Grouping("value", 2)))
    found = engine.search(SearchRequest(ROWS[0], 2, legs=legs, include_metadata=False))
    assert [hit.doc_id for hit in found.hits] == [1, 7, 4, 10]
    assert [hit.metadata_wire for hit in found.hits] == [b""] * 4
    engine.close()
