"""What filters that compare by type say of one document."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from tests.model.values import kept

from pykyro.model.filter import And, Exact, In, Not, Or, Range, check_filter, matches, strict
from pykyro.model.filter_dict import parse_filter
from pykyro.model.limits import FILTER_NODES_MAX
from pykyro.model.typed_filter import Among, Between

NOON = datetime(2024, 6, 30, 12, tzinfo=UTC)
DOCUMENT: dict[str, Any] = {
    "int": 5,
    "float": 0.5,
    "whole": 9.0,
    "text": "Straße",
    "digits": "9",
    "zebra": "zebra",
    "flag": True,
    "none": None,
    "time": NOON,
    "big": 2**60 + 1,
    "tags": ["a", 7, None, ["x"], {"k": 1}],
    "empty": [],
    "author": {"name": "Ann", "born": {"year": 1970}, "pets": ["cat"], "a.b": 1},
    "author.name": "Bob",
}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"int": 5}, True),
        ({"int": 5.0}, True),
        ({"int": "5"}, False),
        ({"int": True}, False),
        ({"flag": 1}, False),
        ({"flag": True}, True),
        ({"whole": 9}, True),
        ({"none": None}, True),
        ({"absent": None}, False),
        ({"none": {"$is_null": True}}, True),
        ({"int": {"$is_null": False}}, True),
        ({"none": {"$exists": True}}, True),
        ({"time": NOON.astimezone(timezone(timedelta(hours=9)))}, True),
        ({"time": {"$gt": NOON}}, False),
        ({"time": {"$gte": NOON, "$lt": NOON + timedelta(microseconds=1)}}, True),
        ({"time": {"$lt": "9999"}}, False),
        ({"int": {"$gt": 4}}, True),
        ({"int": {"$gt": "4"}}, False),
        ({"big": {"$gt": 2**60}}, True),
        ({"big": 2.0**60}, False),
        ({"big": {"$lt": 2.0**60 + 512}}, True),
        ({"int": {"$between": [5, 5]}}, True),
        ({"flag": {"$gt": False}}, True),
        ({"text": {"$gt": "S", "$lt": "T"}}, True),
        ({"text": {"$contains": "raß"}}, True),
        ({"text": {"$contains": "RASS"}}, False),
        ({"text": {"$icontains": "RASS"}}, True),
        ({"text": {"$prefix": "Str"}}, True),
        ({"text": {"$prefix": "tr"}}, False),
        ({"int": {"$contains": "5"}}, False),
        ({"tags": "a"}, True),
        ({"tags": 7.0}, True),
        ({"tags": None}, True),
        ({"tags": {"$gt": 6}}, True),
        ({"tags": {"$gt": 7}}, False),
        ({"tags": ["x"]}, True),
        ({"tags": "x"}, False),
        ({"tags": {"$eq": {"k": 1.0}}}, True),
        ({"tags.k": 1}, False),
        ({"tags": DOCUMENT["tags"]}, True),
        ({"tags": {"$contains_any": ["z", "a"]}}, True),
        ({"tags": {"$contains_all": ["a", 7]}}, True),
        ({"tags": {"$contains_all": ["a", 8]}}, False),
        ({"tags": {"$contains_all": []}}, True),
        ({"empty": []}, True),
        ({"empty": {"$ne": []}}, False),
        ({"empty": {"$exists": True}}, True),
        ({"tags": []}, False),
        ({"author": {"$eq": DOCUMENT["author"]}}, True),
        ({"author.born.year": {"$lt": 1980}}, True),
        ({"author.born": {"$eq": {"year": 1970.0}}}, True),
        ({"author.pets": "cat"}, True),
        ({"author.a.b": 1}, True),
        ({"author.name": "Ann"}, True),
        ({"author.name": "Bob"}, True),
        ({"author.born": {"$exists": True}}, True),
        ({"author.died": {"$exists": True}}, False),
        ({"author.name": {"$exists": True}}, True),
        ({"absent": {"$ne": 1}}, True),
        ({"absent": {"$nin": [1]}}, True),
        ({"int": {"$in": ["5", 6, 5.0]}}, True),
    ],
)
def test_values_compare_by_type(condition: dict[str, Any], expected: bool) -> None:
    parsed = parse_filter(condition)
    assert matches(parsed, kept(DOCUMENT)) is expected
    assert matches(strict(parsed), kept(DOCUMENT)) is expected


@pytest.mark.parametrize(
    ("condition", "loose"),
    [
        ({"digits": 9}, True),
        ({"digits": 9.0}, True),
        ({"digits": {"$gt": 8.5}}, True),
        ({"digits": {"$between": [8, 9]}}, True),
        ({"zebra": {"$gt": 9}}, True),
        ({"digits": {"$in": [True, 9]}}, True),
        ({"digits": True}, False),
        ({"digits": {"$gt": False}}, False),
        ({"digits": {"$lt": NOON}}, False),
    ],
)
def test_a_text_is_taken_for_a_number_unless_values_have_types(
    condition: dict[str, Any], loose: bool
) -> None:
    parsed = parse_filter(condition)
    assert matches(parsed, kept(DOCUMENT)) is loose
    assert not matches(strict(parsed), kept(DOCUMENT))


def test_a_text_beside_a_value_of_a_path_is_no_number() -> None:
    document = kept({"a.b": "7", "a": {"b": True}})
    assert not matches(parse_filter({"a.b": 7}), document)
    assert not matches(parse_filter({"a.b": {"$gt": 5}}), document)
    assert matches(parse_filter({"a.b": "7"}), document)
    assert matches(parse_filter({"a.b": True}), document)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Exact("int", "5"), True),
        (Exact("flag", "true"), True),
        (Exact("none", "null"), True),
        (Exact("time", "2024-06-30T12:00:00Z"), True),
        (Exact("empty", "[]"), True),
        (Exact("tags", "a"), False),
        (In("whole", ("9",)), True),
        (Range("big", "gt", str(2**60)), True),
        (Range("time", "gte", "2024-06"), True),
        (Range("author", None), True),
        (Range("author.born", None), False),
    ],
)
def test_a_client_without_types_sees_the_text_form(condition: Exact | In | Range, expected: bool) -> None:
    assert matches(condition, kept(DOCUMENT)) is expected


def test_strict_reaches_every_part() -> None:
    parts = (Among("a", ("i1",)), Not(Between("a", "i1", None)), Exact("a", "1"))
    assert strict(Or((And(parts),))) == Or(
        (And((Among("a", ("i1",), True), Not(Between("a", "i1", None, strict=True)), Exact("a", "1"))),)
    )
    assert strict(Not(None)) == Not(None)


def test_listed_operands_count() -> None:
    check_filter(Among("a", ("i1",) * (FILTER_NODES_MAX - 1)))
    with pytest.raises(Exception, match="listed values"):
        check_filter(Among("a", ("i1",) * FILTER_NODES_MAX))
