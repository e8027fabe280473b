"""Values with types in both metadata indices, and in merged ones: the rows the reference evaluator gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.index.metadata.test_merge_sections import assert_equal, at_once, merged
from tests.model.values import filters, kept, metadata, typed

from pykyro.index.metadata.metadata_index import FrozenMetadataIndex, MutableMetadataIndex, build_sections
from pykyro.index.metadata.simplify import simplified
from pykyro.index.metadata.typed_columns import TYPED
from pykyro.model.filter import Filter, Not, matches, strict
from pykyro.model.filter_dict import parse_filter

Rows = Sequence[Mapping[str, str]]
documents = st.lists(metadata, max_size=20)
questions = st.lists(filters, min_size=1, max_size=4)


def frozen(rows: Rows) -> FrozenMetadataIndex:
    return FrozenMetadataIndex(build_sections(iter(rows), len(rows)), len(rows))


def mutable(rows: Rows) -> MutableMetadataIndex:
    index = MutableMetadataIndex()
    for row, entries in enumerate(rows):
        index.add(row, entries)
    return index


def expected(rows: Rows, condition: Filter) -> list[int]:
    return [row for row, entries in enumerate(rows) if matches(condition, entries)]


@settings(max_examples=150)
@given(documents, questions)
def test_both_indices_agree_with_the_definition(rows: Rows, conditions: list[Filter]) -> None:
    sealed, hot = frozen(rows), mutable(rows)
    for condition in [*conditions, *map(strict, conditions), *conditions]:
        assert list(sealed.match(condition)) == expected(rows, condition)
        assert list(hot.match(condition)) == expected(rows, condition)
        assert expected(rows, simplified(condition)) == expected(rows, condition)
        assert sealed.cost_us(condition) >= 0 <= hot.cost_us(condition)


@given(st.lists(st.tuples(st.integers(1, 90), metadata), max_size=20), questions)
def test_the_mutable_index_keeps_up_between_questions(
    steps: list[tuple[int, Mapping[str, str]]], conditions: list[Filter]
) -> None:
    index, rows, row = MutableMetadataIndex(), {}, -1
    for gap, entries in steps:
        row += gap
        index.add(row, entries)
        rows[row] = entries
        for condition in conditions:
            assert list(index.match(condition)) == [r for r in rows if matches(condition, rows[r])]


@settings(max_examples=100)
@given(
    st.lists(st.lists(st.tuples(metadata, st.booleans()), max_size=8), max_size=4),
    st.sampled_from([1, 500, 1 << 20]),
    filters,
)
def test_a_merge_equals_building_at_once(
    segments: list[list[tuple[Mapping[str, str], bool]]], piece_bytes: int, condition: Filter
) -> None:
    found = merged(segments, piece_bytes)
    assert_equal(found, at_once(segments))
    rows = [entries for segment in segments for entries, keep in segment if keep]
    assert list(FrozenMetadataIndex(found, len(rows)).match(condition)) == expected(rows, condition)


NOON = datetime(2024, 6, 30, 12, tzinfo=UTC)


def large_rows(count: int, seed: int) -> list[tuple[Mapping[str, str], bool]]:
    """Keys dense enough for codes: of one type, of several, of lists, and now and then a text."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[Mapping[str, str], bool]] = []
    for row in range(count):
        entries: dict[str, Any] = {
            "n": row % 50,
            "price": float(rng.normal()),
            "flag": bool(row % 2),
            "at": NOON + timedelta(hours=row % 100),
            "mixed": [row % 7, str(row % 7), None, row % 2 == 0][row % 4],
            "tags": [f"t{tag}" for tag in range(row % 4)],
            "o": {"x": row % 3, "deep": {"y": f"v{row % 5}"}},
        }
        if row % 3:
            entries["text"] = f"word {row % 11}"
        rows.append((kept(entries), bool(rng.random() < 0.9)))
    return rows


SEGMENTS = [large_rows(4800, 0), large_rows(600, 1)]
LARGE = [entries for segment in SEGMENTS for entries, keep in segment if keep]
LARGE_SECTIONS = merged(SEGMENTS)
LARGE_FROZEN, LARGE_MUTABLE = FrozenMetadataIndex(LARGE_SECTIONS, len(LARGE)), mutable(LARGE)
CONDITIONS: list[dict[str, Any]] = [
    {"n": 7},
    {"n": {"$gte": 10, "$lt": 35.5}},
    {"price": {"$between": [-0.5, 0.5]}},
    {"flag": True},
    {"at": {"$gt": NOON + timedelta(hours=50)}},
    {"mixed": 3},
    {"mixed": "3"},
    {"mixed": {"$gt": 2}},
    {"mixed": {"$gt": "2"}},
    {"mixed": {"$is_null": True}},
    {"mixed": {"$prefix": "3"}},
    {"tags": "t1"},
    {"tags": []},
    {"tags": {"$contains_all": ["t0", "t2"]}},
    {"tags": {"$gte": "t1"}},
    {"tags": {"$contains": "1"}},
    {"o.x": {"$in": [0, 2]}},
    {"o.deep.y": {"$ne": "v1"}},
    {"o.deep": {"$exists": True}},
    {"o": {"$eq": {"x": 1.0, "deep": {"y": "v1"}}}},
    {"text": {"$icontains": "WORD 1"}},
    {"text": {"$contains": "10"}},
    {"text": {"$between": ["word 10", "word 3"]}},
]


@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
def test_large_sets(condition: dict[str, Any]) -> None:
    parsed = parse_filter(condition)
    for asked in (parsed, Not(strict(parsed))):
        rows = expected(LARGE, asked)
        assert list(LARGE_FROZEN.match(asked)) == rows
        assert list(LARGE_MUTABLE.match(asked)) == rows


def test_a_merge_of_large_sets_equals_building_at_once() -> None:
    assert_equal(LARGE_SECTIONS, at_once(SEGMENTS))


def test_texts_alone_have_no_typed_column() -> None:
    sections = build_sections(iter([{"a": "1", "b": "x"}]), 1)
    assert sections["key_text"].tobytes() == b"ab"
    typed_key = (TYPED + "a").encode("utf-8", "surrogatepass")
    assert sections["key_text"].tobytes().find(typed_key) < 0
    assert build_sections(iter([kept({"a": 1})]), 1)["key_text"].tobytes() == b"a" + typed_key


@given(typed)
def test_a_typed_condition_costs_little_on_texts_alone(condition: Filter) -> None:
    assert 0 <= frozen([{"a": "1", "b": "x"}]).cost_us(condition) < 1000


def test_looking_for_a_text_in_values_costs_by_the_values() -> None:
    rows = [{"id": f"doc-{row}"} for row in range(5000)]
    for index in (frozen(rows), mutable(rows)):
        assert index.cost_us(parse_filter({"id": {"$contains": "7"}})) >= 5000
        assert index.cost_us(parse_filter({"id": {"$prefix": "doc-7"}})) < 200
