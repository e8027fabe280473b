"""Filters as dicts: what each form means, what numbers become, and what a wrong part is called."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykyro.model.errors import InvalidArgument
from pykyro.model.filter import And, Anything, Exact, Filter, In, Not, Or, Range, matches
from pykyro.model.filter_dict import parse_filter, text_of
from pykyro.model.limits import FILTER_DEPTH_MAX, FILTER_NODES_MAX
from pykyro.model.number import parse_number

MEANINGS: list[tuple[dict[str, object], Filter]] = [
    ({}, Anything()),
    ({"a": "x"}, Exact("a", "x")),
    ({"a": 5}, Exact("a", "5")),
    ({"a": "x", "b": "y"}, And((Exact("a", "x"), Exact("b", "y")))),
    ({"a": {"$eq": "x"}}, Exact("a", "x")),
    ({"a": {"$ne": "x"}}, Not(Exact("a", "x"))),
    ({"a": {"$in": ["x", 1]}}, In("a", ("x", "1"))),
    ({"a": {"$in": []}}, In("a", ())),
    ({"a": {"$in": (x for x in ("p", "q"))}}, In("a", ("p", "q"))),
    ({"a": {"$nin": ["x"]}}, Not(In("a", ("x",)))),
    ({"a": {"$gt": 1}}, Range("a", "gt", "1")),
    ({"a": {"$lte": "m"}}, Range("a", "lte", "m")),
    ({"a": {"$gte": "2020", "$lt": "2024"}}, And((Range("a", "gte", "2020"), Range("a", "lt", "2024")))),
    ({"a": {"$exists": True}}, Range("a", None)),
    ({"a": {"$exists": False}}, Not(Range("a", None))),
    ({"a": {"$not": {"$gt": 1}}}, Not(Range("a", "gt", "1"))),
    ({"$and": [{"a": "x"}, {"b": "y"}]}, And((Exact("a", "x"), Exact("b", "y")))),
    ({"$and": []}, And(())),
    (
        {"$or": [{"a": "x"}, {"b": {"$gt": 2, "$lt": 3}}]},
        Or((Exact("a", "x"), And((Range("b", "gt", "2"), Range("b", "lt", "3"))))),
    ),
    ({"$or": []}, Or(())),
    ({"$not": {"a": "x"}}, Not(Exact("a", "x"))),
    ({"$not": {}}, Not(Anything())),
    ({"$or": [{}, {"a": "x"}], "b": "y"}, And((Or((Anything(), Exact("a", "x"))), Exact("b", "y")))),
    ({"": "x", "a.b": "y"}, And((Exact("", "x"), Exact("a.b", "y")))),
]


@pytest.mark.parametrize(("spelled", "meaning"), MEANINGS)
def test_dict_means(spelled: dict[str, object], meaning: Filter) -> None:
    assert parse_filter(spelled) == meaning


def test_a_filter_is_a_filter_already() -> None:
    assert parse_filter(Exact("$price", "1")) == Exact("$price", "1")


@pytest.mark.parametrize(
    ("spelled", "field", "words"),
    [
        ({"tag": ["a", "b"]}, "filter.tag", '{"$in": […]}'),
        ({"tag": None}, "filter.tag", "NoneType None"),
        ({"tag": True}, "filter.tag", "bool True"),
        ({"tag": b"x"}, "filter.tag", "bytes"),
        ({"tag": float("nan")}, "filter.tag", "NaN"),
        ({"tag": np.array([1])}, "filter.tag", "ndarray"),
        ({"tag": {}}, "filter.tag", "names no operator"),
        ({"tag": {"$regex": "a"}}, "filter.tag.$regex", "one of $eq, $ne, $in"),
        ({"tag": {"gte": "a"}}, "filter.tag.gte", "no operator"),
        ({"tag": {"$gte": ["a"]}}, "filter.tag.$gte", "list"),
        ({"tag": {"$in": "ab"}}, "filter.tag.$in", "list of values"),
        ({"tag": {"$in": 5}}, "filter.tag.$in", "int 5"),
        ({"tag": {"$in": ["a", None]}}, "filter.tag.$in[1]", "NoneType"),
        ({"tag": {"$exists": 1}}, "filter.tag.$exists", "True or False"),
        ({"tag": {"$not": "a"}}, "filter.tag.$not", "dict of operators"),
        ({"$nor": []}, "filter.$nor", "$and, $or, $not"),
        ({"$and": {"a": "x"}}, "filter.$and", "list of filters"),
        ({"$or": [{"a": "x"}, "y"]}, "filter.$or[1]", "dict of conditions"),
        ({"$or": [{"$and": [{"a": {"$lt": None}}]}]}, "filter.$or[0].$and[0].a.$lt", "NoneType"),
        ({"$not": None}, "filter.$not", "dict of conditions"),
        ({3: "x"}, "filter", "int 3"),
        ({"a": "\ud800"}, "filter.a", "UTF-8"),
        ({"a": 10**5000}, "filter.a", "16610 bits"),
        ("a = 'x'", "filter", "dict of conditions"),
    ],
)  # fmt: skip
def test_a_wrong_part_is_named(spelled: dict[str, object], field: str, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_filter(spelled)
    assert caught.value.field == field
    assert field in str(caught.value)
    assert words in str(caught.value)


def test_depth_and_width_are_bounded() -> None:
    deepest: dict[str, object] = {"a": "x"}
    for _ in range(FILTER_DEPTH_MAX - 1):
        deepest = {"$not": deepest}
    parse_filter(deepest)
    with pytest.raises(InvalidArgument, match="levels deep"):
        parse_filter({"$not": deepest})
    endless: dict[str, object] = {}
    endless["$not"] = endless
    with pytest.raises(InvalidArgument, match="levels deep"):
        parse_filter(endless)
    with pytest.raises(InvalidArgument, match="listed values"):
        parse_filter({"a": {"$in": range(FILTER_NODES_MAX)}})


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (7, "7"),
        (-7, "-7"),
        (2**70, "1180591620717411303424"),
        (2020.0, "2020"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (2.0**53, "9007199254740992"),
        (2.0**54, "1.8014398509481984e+16"),
        (math.inf, "inf"),
        (np.int64(3), "3"),
        (np.uint8(200), "200"),
        (np.float32(0.1), "0.1"),
        (np.float64(2.5), "2.5"),
        (np.float16(2048), "2048"),
    ],
)
def test_a_number_becomes_text(number: float, text: str) -> None:
    assert text_of(number, "x") == text


@given(st.integers() | st.floats(allow_nan=False))
def test_the_text_of_a_number_is_read_back_as_that_number(number: float) -> None:
    assert parse_number(text_of(number, "x")) == float(number)


@given(st.integers(-(2**53), 2**53))
def test_equal_numbers_have_equal_text(number: int) -> None:
    assert text_of(number, "x") == text_of(float(number), "x")


@given(st.integers(-50, 50), st.integers(-50, 50))
def test_a_range_of_numbers_compares_numbers(stored: int, bound: int) -> None:
    document = {"n": text_of(stored, "n")}
    assert matches(parse_filter({"n": {"$gte": bound}}), document) == (stored >= bound)
    assert matches(parse_filter({"n": {"$lt": bound}}), document) == (stored < bound)
    assert matches(parse_filter({"n": bound}), document) == (stored == bound)
    assert not matches(parse_filter({"m": {"$gte": bound}}), document)
    assert matches(parse_filter({"m": {"$ne": bound}}), document)
