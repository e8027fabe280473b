"""The filter rules, one line of the table at a time."""

from __future__ import annotations

import re
from math import copysign, inf, isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.index.metadata_cases import AWKWARD, filters, metadata

from pykyro.model.errors import InvalidArgument
from pykyro.model.filter import (
    And,
    Anything,
    Exact,
    Filter,
    In,
    Not,
    Or,
    Range,
    check_filter,
    matches,
    with_constraints,
)
from pykyro.model.limits import FILTER_DEPTH_MAX, FILTER_NODES_MAX
from pykyro.model.number import parse_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0.0),
        ("1e5", 1e5),
        ("1E+5", 1e5),
        ("1e-05", 1e-5),
        (".5", 0.5),
        ("5.", 5.0),
        ("5.e1", 50.0),
        ("+1", 1.0),
        ("-1.5", -1.5),
        ("007", 7.0),
        ("1e9999", inf),
        ("-1e9999", -inf),
        ("1e-9999", 0.0),
        ("inf", inf),
        ("-INF", -inf),
        ("+infinity", inf),
        ("InFiNiTy", inf),
        ("9007199254740993", 9007199254740992.0),
    ],
)
def test_numbers_are_read(text: str, number: float) -> None:
    assert parse_number(text) == number


@pytest.mark.parametrize("text", ["nan", "NaN", "-nan", "+NAN"])
def test_nan_is_a_number(text: str) -> None:
    number = parse_number(text)
    assert number is not None
    assert isnan(number)


def test_the_sign_of_zero_is_read() -> None:
    number = parse_number("-0")
    assert number is not None
    assert copysign(1, number) == -1


@pytest.mark.parametrize(
    "text",
    [
        *re.findall(
            r"\S+", ". + - e5 .e5 1e 1e+ --1 +-1 1.2.3 1e5.0 infinit in nano 1_0 0x10 1f １ ٣ ½ 1e１ ınf 1,5"
        ),
        *["", " 1", "1 ", "1\n", "\t1", "1\0"],
    ],
)
def test_other_text_is_no_number(text: str) -> None:
    assert parse_number(text) is None


def test_hostile_text_is_refused_in_linear_time() -> None:
    assert parse_number("1" * 1_000_000 + "x") is None
    assert parse_number("1." + "1" * 1_000_000 + "e") is None


@given(st.floats())
def test_every_printed_float_is_read_back(number: float) -> None:
    found = parse_number(repr(number))
    assert found == number or (isnan(number) and found is not None and isnan(found))


DOCUMENT = {"year": "1999", "name": "abc", "empty": "", "zero": "-0", "void": "NaN", "huge": "1e9999"}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Anything(), True),
        (Exact("name", "abc"), True),
        (Exact("name", "ABC"), False),
        (Exact("empty", ""), True),
        (Exact("absent", ""), False),
        (Exact("zero", "0"), False),
        (In("name", ("x", "abc")), True),
        (In("name", ("x",)), False),
        (In("name", ()), False),
        (In("absent", ("",)), False),
        (Range("absent", "lt", "z"), False),
        (Range("absent", None), False),
        (Range("empty", None), True),
        (Range("year", "gt", "200"), True),  # as numbers, though "1999" < "200" as text
        (Range("year", "gte", "1999.0"), True),
        (Range("year", "gt", "1.999e3"), False),
        (Range("year", "lte", "1999"), True),
        (Range("year", "lt", "1999"), False),
        (Range("year", "lt", "200x"), True),  # as text, since the bound is no number
        (Range("name", "gt", "5"), True),  # as text, since the value is no number
        (Range("name", "lt", "abd"), True),
        (Range("name", "gte", "abc"), True),
        (Range("name", "lt", "ab"), False),
        (Range("zero", "gte", "0"), True),
        (Range("zero", "lt", "0.0"), False),
        (Range("huge", "gte", "inf"), True),
        (Range("huge", "gt", "inf"), False),
        (Range("void", "gte", "nan"), False),
        (Range("void", "lt", "1"), False),
        (Range("void", "gt", "1"), False),
        (Range("year", "lt", "nan"), False),
        (Range("name", "lt", "nan"), True),  # as text
        (Range("void", "gt", "A"), True),  # as text
        (And(()), True),
        (And((Exact("name", "abc"), Anything())), True),
        (And((Exact("name", "abc"), Exact("year", "x"))), False),
        (Or(()), False),
        (Or((Exact("name", "x"), Exact("year", "1999"))), True),
        (Or((Exact("name", "x"), Exact("year", "x"))), False),
        (Not(Exact("name", "abc")), False),
        (Not(Exact("absent", "abc")), True),
        (Not(Range("absent", "lt", "1")), True),
        (Not(None), False),
        (Not(Anything()), False),
        (Not(Not(None)), True),
    ],
)
def test_the_rules(condition: Filter, expected: bool) -> None:
    assert matches(condition, DOCUMENT) is expected


@given(st.sampled_from(AWKWARD), st.sampled_from(AWKWARD))
def test_text_is_ordered_by_its_bytes(value: str, bound: str) -> None:
    if parse_number(value) is None or parse_number(bound) is None:
        assert matches(Range("k", "lt", bound), {"k": value}) == (value.encode() < bound.encode())


@given(
    filters, metadata, st.dictionaries(st.sampled_from(["a", "s"]), st.sampled_from(["", "1"]), max_size=2)
)
def test_constraints_narrow_a_filter(
    condition: Filter, entries: dict[str, str], constraints: dict[str, str]
) -> None:
    narrowed = with_constraints(condition, constraints)
    met = all(entries.get(key) == value for key, value in constraints.items())
    assert (narrowed is None or matches(narrowed, entries)) == (met and matches(condition, entries))


def test_constraints_come_first_and_in_one_level() -> None:
    scope = {"t": "7", "n": "x"}
    first = (Exact("t", "7"), Exact("n", "x"))
    inner = Exact("a", "b")
    assert with_constraints(None, {}) is None
    assert with_constraints(Anything(), {}) is None
    assert with_constraints(inner, {}) is inner
    assert with_constraints(None, {"t": "7"}) == first[0]
    assert with_constraints(Anything(), scope) == And(first)
    assert with_constraints(inner, scope) == And((*first, inner))
    assert with_constraints(And((inner, inner)), scope) == And((*first, inner, inner))
    assert with_constraints(Or(()), scope) == And((*first, Or(())))


@given(filters)
def test_equal_filters_are_one_cache_key(condition: Filter) -> None:
    check_filter(condition)
    assert {condition: 1}[with_constraints(And((condition,)), {"k": "v"}).parts[1]] == 1  # type: ignore[union-attr]


def test_a_filter_may_be_as_deep_as_the_limit_and_no_deeper() -> None:
    condition: Filter = Anything()
    for _ in range(FILTER_DEPTH_MAX - 1):
        condition = Not(condition)
    check_filter(condition)
    with pytest.raises(InvalidArgument, match=f"{FILTER_DEPTH_MAX} levels") as caught:
        check_filter(And((Anything(), condition)))
    assert caught.value.field == "filter"


def test_conditions_and_listed_values_are_counted_together() -> None:
    listed = In("k", ("v",) * (FILTER_NODES_MAX - 2))
    check_filter(And((listed,)))
    with pytest.raises(InvalidArgument, match=f"maximum is {FILTER_NODES_MAX}"):
        check_filter(And((listed, Anything())))


def test_a_filter_far_too_deep_is_refused_without_recursion() -> None:
    condition: Filter = Not(None)
    for _ in range(100_000):
        condition = Not(condition)
    with pytest.raises(InvalidArgument, match="deep"):
        check_filter(condition)
    while isinstance(condition, Not) and condition.part is not None:  # freed level by level, not recursively
        condition = condition.part
