"""Filters in SQL find exactly the documents that the definition says; orders of values likewise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap
from tests.engine.remote.postgres import Postgres
from tests.engine.remote.tables import FilledTable
from tests.index.metadata_cases import filters as texts_filters
from tests.index.metadata_cases import metadata as texts_metadata
from tests.longer import longer
from tests.model.values import filters, keys, metadata

from pykyro.engine.remote.rows import escaped, number_key, unescaped
from pykyro.engine.remote.table import Which
from pykyro.engine.remote.table_listing import by_value, without_value
from pykyro.engine.tiers.tier import ValueOrder
from pykyro.model.errors import FailedPrecondition
from pykyro.model.filter import And, Exact, Filter, In, Not, Or, Range, matches
from pykyro.model.number import in_text_range, parse_number
from pykyro.model.typed_filter import TextMatch
from pykyro.model.types import TENANT_INDEX_KEY
from pykyro.model.value_order import order_token

LONG = settings(max_examples=longer(15), deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def filled(postgres: Postgres) -> Iterator[FilledTable]:
    table = FilledTable(postgres.fresh())
    yield table
    table.close()


def finds_control_characters(condition: Filter) -> bool:
    """The one thing that is refused."""
    match condition:
        case TextMatch(_, op, text):
            return op != "prefix" and any(letter in text for letter in "\0\x01\x02")
        case And(parts) | Or(parts):
            return any(map(finds_control_characters, parts))
        case Not(part) if part is not None:
            return finds_control_characters(part)
    return False


def agrees(filled: FilledTable, rows: Sequence[Mapping[str, str]], conditions: list[Filter]) -> None:
    filled.fill(rows)
    for condition in conditions:
        try:
            found = filled.table.doc_ids(Which(len(rows), BitMap(), condition)).tolist()
        except FailedPrecondition:
            if not finds_control_characters(condition):
                raise
            continue
        assert found == [number for number, row in enumerate(rows) if matches(condition, row)], condition


@LONG
@given(st.lists(metadata, max_size=12), st.lists(filters, min_size=1, max_size=8))
def test_filters_on_values_with_types_agree_with_the_definition(
    filled: FilledTable, rows: list[Mapping[str, str]], conditions: list[Filter]
) -> None:
    agrees(filled, rows, conditions)


def without_tenant(row: Mapping[str, str]) -> dict[str, str]:
    """In an engine that key says what the owner of the row says."""
    return {key: text for key, text in row.items() if key != TENANT_INDEX_KEY}


@LONG
@given(
    st.lists(texts_metadata.map(without_tenant), max_size=12), st.lists(texts_filters, min_size=1, max_size=8)
)
def test_filters_on_texts_agree_with_the_definition(
    filled: FilledTable, rows: list[Mapping[str, str]], conditions: list[Filter]
) -> None:
    agrees(filled, rows, conditions)


def test_a_filter_is_never_part_of_the_statement(filled: FilledTable) -> None:
    hostile = ["'; DROP TABLE kyrodb.collections; --", "%s", "{}", "%(x)s", '"', "\\", "$1"]
    rows = [{text: text} for text in hostile]
    conditions: list[Filter] = [Exact(text, text) for text in hostile]
    conditions += [Range(text, "gte", text) for text in hostile] + [
        In(text, (text,) * 40) for text in hostile
    ]
    conditions += [Not(TextMatch(text, "contains", text)) for text in hostile]
    agrees(filled, rows, conditions)


def test_a_character_that_postgresql_does_not_keep_is_kept(filled: FilledTable) -> None:
    rows = [{"a": "\0"}, {"a": "\x01"}, {"a": "\x02"}, {"a\0": "x\0y"}, {"a": "\0\0"}, {"a\x01": "z"}]
    conditions: list[Filter] = [Exact("a", "\0"), Range("a", "gt", "\0"), Range("a", "lt", "\x01\x01")]
    conditions += [Exact("a\0", "x\0y"), TextMatch("a", "prefix", "\0"), TextMatch("a", "contains", "\x01")]
    agrees(filled, rows, [*conditions, And((conditions[1], Not(conditions[0])))])


def test_a_prefix_that_ends_before_the_surrogates(filled: FilledTable) -> None:
    rows = [{"a": "\ud7ff"}, {"a": "\ud7ffb"}, {"a": "\ue000"}, {"a": "\U0010ffff"}]
    agrees(filled, rows, [TextMatch("a", "prefix", "\ud7ff"), TextMatch("a", "prefix", "\U0010ffff")])


@LONG
@given(st.lists(metadata, max_size=10), keys, st.booleans())
def test_the_order_of_values_is_that_of_the_definition(
    filled: FilledTable, rows: list[Mapping[str, str]], key: str, descending: bool
) -> None:
    filled.fill(rows)
    tokens = [(order_token(row, key, descending=descending), number) for number, row in enumerate(rows)]
    expected = sorted([entry for entry in tokens if entry[0] is not None], reverse=descending)
    which = Which(len(rows), BitMap(), None)
    after = None
    found = []
    while entries := by_value(filled.table, which, ValueOrder(key, after, 2, descending))[:2]:
        found += [(entry.token, entry.doc_id) for entry in entries]
        after = entries[-1][:2]
    assert found == expected
    left, _ = without_value(filled.table, which, key, None, 20, descending=False)
    assert left.tolist() == [number for token, number in tokens if token is None]


@given(st.text(), st.text())
def test_escaping_keeps_order_and_beginnings(first: str, second: str) -> None:
    assert unescaped(escaped(first)) == first
    assert "\0" not in escaped(first)
    assert (escaped(first) < escaped(second)) == (first < second)
    assert escaped(first + second).startswith(escaped(first))


@settings(max_examples=longer(100))
@given(
    *[
        st.sampled_from(["0", "-0", "1e999", "-inf", "1" + "0" * 400, "1e-400", "9007199254740993", "1.50"])
        | st.floats(allow_nan=False).map(repr)
        | st.integers().map(str)
    ]
    * 2
)
def test_keys_of_numbers_have_their_order(first: str, second: str) -> None:
    assert parse_number(first) is not None
    one, other = number_key(first), number_key(second)
    assert one is not None
    assert other is not None
    assert (one < other) == in_text_range("lt", first, second)
    assert (one == other) == (in_text_range("lte", first, second) and in_text_range("gte", first, second))
