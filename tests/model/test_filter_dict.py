"""Filters as dicts: what each form means, what numbers become, and what a wrong part is called."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import numpy as np
import pytest

from pykyro.model.errors import InvalidArgument
from pykyro.model.filter import And, Anything, Exact, Filter, Not, Or, Range
from pykyro.model.filter_dict import parse_filter
from pykyro.model.limits import FILTER_DEPTH_MAX, FILTER_NODES_MAX
from pykyro.model.typed_filter import Among, Between, Present, TextMatch


def among(key: str, *operands: str) -> Among:
    return Among(key, operands)


NOON = datetime(2020, 1, 31, 13, tzinfo=timezone(timedelta(hours=1)))

MEANINGS: list[tuple[dict[str, object], Filter]] = [
    ({}, Anything()),
    ({"a": "x"}, among("a", "tx")),
    ({"a": 5}, among("a", "i5")),
    ({"a": 5.0}, among("a", "f5")),
    ({"a": True}, among("a", "btrue")),
    ({"a": None}, among("a", "nnull")),
    ({"a": NOON}, among("a", "d2020-01-31T12:00:00Z")),
    ({"a": ["p", 1]}, among("a", 'l["p",1]')),
    ({"a": 10**30}, among("a", "i1" + 30 * "0")),
    ({"a": "x", "b": "y"}, And((among("a", "tx"), among("b", "ty")))),
    ({"a": {"$eq": "x"}}, among("a", "tx")),
    ({"a": {"$eq": {"b": 1.5}}}, among("a", 'o{"b":1.5}')),
    ({"a": {"$ne": "x"}}, Not(among("a", "tx"))),
    ({"a": {"$in": ["x", 1]}}, among("a", "tx", "i1")),
    ({"a": {"$in": []}}, among("a")),
    ({"a": {"$in": (x for x in ("p", "q"))}}, among("a", "tp", "tq")),
    ({"a": {"$nin": ["x"]}}, Not(among("a", "tx"))),
    ({"a": {"$gt": 1}}, Between("a", "i1", None, low_open=True)),
    ({"a": {"$lte": "m"}}, Between("a", None, "tm")),
    (
        {"a": {"$gte": "2020", "$lt": "2024"}},
        And((Between("a", "t2020", None), Between("a", None, "t2024", high_open=True))),
    ),
    ({"a": {"$between": [1, 2.5]}}, Between("a", "i1", "f2.5")),
    ({"a": {"$between": {"$gt": 1, "$lte": 2}}}, Between("a", "i1", "i2", low_open=True, strict=True)),
    ({"a": {"$between": {"$lt": "x"}}}, Between("a", None, "tx", high_open=True, strict=True)),
    ({"a": {"$contains": "x"}}, TextMatch("a", "contains", "x")),
    ({"a": {"$icontains": "X"}}, TextMatch("a", "icontains", "X")),
    ({"a": {"$prefix": ""}}, TextMatch("a", "prefix", "")),
    ({"a": {"$contains_any": ["x", 1]}}, among("a", "tx", "i1")),
    ({"a": {"$contains_all": ["x", 1]}}, And((among("a", "tx"), among("a", "i1")))),
    ({"a": {"$is_null": True}}, among("a", "nnull")),
    ({"a": {"$is_null": False}}, Not(among("a", "nnull"))),
    ({"a": {"$exists": True}}, Range("a", None)),
    ({"a": {"$exists": False}}, Not(Range("a", None))),
    ({"a.b": {"$exists": True}}, Present("a.b")),
    ({"a": {"$not": {"$gt": 1}}}, Not(Between("a", "i1", None, low_open=True))),
    ({"$and": [{"a": "x"}, {"b": "y"}]}, And((among("a", "tx"), among("b", "ty")))),
    ({"$and": []}, And(())),
    (
        {"$or": [{"a": "x"}, {"b": {"$gt": 2, "$lt": 3}}]},
        Or(
            (
                among("a", "tx"),
                And((Between("b", "i2", None, low_open=True), Between("b", None, "i3", high_open=True))),
            )
        ),
    ),
    ({"$or": []}, Or(())),
    ({"$not": {"a": "x"}}, Not(among("a", "tx"))),
    ({"$not": {}}, Not(Anything())),
    ({"$or": [{}, {"a": "x"}], "b": "y"}, And((Or((Anything(), among("a", "tx"))), among("b", "ty")))),
    ({"": "x", "a.b": "y"}, And((among("", "tx"), among("a.b", "ty")))),
]


@pytest.mark.parametrize(("spelled", "meaning"), MEANINGS)
def test_dict_means(spelled: dict[str, object], meaning: Filter) -> None:
    assert parse_filter(spelled) == meaning


def test_a_filter_is_a_filter_already() -> None:
    assert parse_filter(Exact("$price", "1")) == Exact("$price", "1")


@pytest.mark.parametrize(
    ("spelled", "field", "words"),
    [
        ({"tag": {"a"}}, "filter.tag", '{"$in": […]}'),
        ({"tag": date(2020, 1, 1)}, "filter.tag", "isoformat()"),
        ({"tag": datetime(2020, 1, 1)}, "filter.tag", "time zone"),
        ({"tag": {"$gt": None}}, "filter.tag.$gt", "null values have no order"),
        ({"tag": {"$lt": [1]}}, "filter.tag.$lt", "list values have no order"),
        ({"tag": {"$between": [1, "2"]}}, "filter.tag.$between", "of one type"),
        ({"tag": {"$between": [1, 2, 3]}}, "filter.tag.$between", "two values, got 3"),
        ({"tag": {"$between": {}}}, "filter.tag.$between", "got nothing"),
        ({"tag": {"$between": {"$gt": 1, "$gte": 1}}}, "filter.tag.$between", "one of $gt and $gte"),
        ({"tag": {"$between": {"$gt": 1, "$in": [1]}}}, "filter.tag.$between", "got $gt, $in"),
        ({"tag": {"$between": {"$gt": 1, "$lt": "1"}}}, "filter.tag.$between", "of one type"),
        ({"tag": {"$contains": 1}}, "filter.tag.$contains", "int 1"),
        ({"tag": {"$is_null": None}}, "filter.tag.$is_null", "True or False"),
        ({"tag": [[b"x"]]}, "filter.tag[0][0]", "bytes"),
        ({"tag": b"x"}, "filter.tag", "bytes"),
        ({"tag": float("nan")}, "filter.tag", "NaN"),
        ({"tag": np.array([[1]])}, "filter.tag", "one dimension"),
        ({"tag": {}}, "filter.tag", "names no operator"),
        ({"tag": {"$regex": "a"}}, "filter.tag.$regex", "one of $eq, $ne, $in"),
        ({"tag": {"gte": "a"}}, "filter.tag.gte", "no operator"),
        ({"tag": {"$in": "ab"}}, "filter.tag.$in", "list of values"),
        ({"tag": {"$in": 5}}, "filter.tag.$in", "int 5"),
        ({"tag": {"$in": ["a", b"x"]}}, "filter.tag.$in[1]", "bytes"),
        ({"tag": {"$exists": 1}}, "filter.tag.$exists", "True or False"),
        ({"tag": {"$not": "a"}}, "filter.tag.$not", "dict of operators"),
        ({"$nor": []}, "filter.$nor", "$and, $or, $not"),
        ({"$and": {"a": "x"}}, "filter.$and", "list of filters"),
        ({"$or": [{"a": "x"}, "y"]}, "filter.$or[1]", "dict of conditions"),
        ({"$or": [{"$and": [{"a": {"$lt": b"x"}}]}]}, "filter.$or[0].$and[0].a.$lt", "bytes"),
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
