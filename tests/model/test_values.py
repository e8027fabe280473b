"""Values: what goes in comes out, the text form says what clients without types read, and what is refused."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from tests.model.values import numbers, values

from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import VALUE_DEPTH_MAX, VALUE_ELEMENTS_MAX
from pykyro.model.tokens import token_of
from pykyro.model.typed_filter import same
from pykyro.model.typed_text import CLASSES, tag_of, tags_of, with_tags
from pykyro.model.values import check_values, checked_value, text_form, value_of


class Colour(str, Enum):  # noqa: UP042
    RED = "red"


BERLIN = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("value", "tag", "text"),
    [
        ("x", "t", "x"),
        (Colour.RED, "t", "red"),
        (7, "i", "7"),
        (-(2**63), "i", "-9223372036854775808"),
        (2**64 - 1, "i", "18446744073709551615"),
        (np.int64(3), "i", "3"),
        (np.uint8(200), "i", "200"),
        (2020.0, "f", "2020"),
        (-0.0, "f", "-0"),
        (0.1, "f", "0.1"),
        (1e300, "f", "1e+300"),
        (2.0**53, "f", "9007199254740992"),
        (2.0**54, "f", "1.8014398509481984e+16"),
        (math.inf, "f", "inf"),
        (np.float32(0.1), "f", "0.1"),
        (np.float64(2.5), "f", "2.5"),
        (np.float16(2048), "f", "2048"),
        (True, "b", "true"),
        (np.bool_(False), "b", "false"),
        (None, "n", "null"),
        (datetime(2020, 1, 31, 13, tzinfo=BERLIN), "d", "2020-01-31T12:00:00Z"),
        (datetime(320, 1, 1, 0, 0, 0, 5, tzinfo=UTC), "d", "0320-01-01T00:00:00.000005Z"),
        (["a", 1, 1.0, None], "l", '["a",1,1.0,null]'),
        ((np.float32(0.1), "ü"), "l", '[0.1,"ü"]'),
        (np.array([1, 2]), "l", "[1,2]"),
        ([-math.inf], "l", '[{"$float":"-inf"}]'),
        ({"a": {"b": [True]}}, "o", '{"a":{"b":[true]}}'),
        ({"t": datetime(2020, 1, 31, 13, tzinfo=BERLIN)}, "o", '{"t":{"$time":"2020-01-31T12:00:00Z"}}'),
        ({"$time": 1}, "o", '{"$object":{"$time":1}}'),
        ({"$time": 1, "b": 2}, "o", '{"$time":1,"b":2}'),
        ({}, "o", "{}"),
    ],
)
def test_a_value_has_a_tag_and_a_text_form(value: object, tag: str, text: str) -> None:
    form = text_form(value, "x")
    assert (tag_of(form), str(form)) == (tag, text)
    assert type(form) is CLASSES[tag]


@given(values)
def test_what_goes_in_comes_out(value: Any) -> None:
    form = text_form(value, "x")
    found = value_of(form)
    assert type(found) is type(value)
    assert same(found, value)
    if isinstance(value, (float, datetime)):
        assert repr(found) == repr(value if isinstance(value, float) else value.astimezone(UTC))
    assert checked_value(form, "x") == found


@given(numbers, numbers)
def test_tokens_are_in_the_order_of_numbers(first: float, second: float) -> None:
    assert (token_of(first) < token_of(second)) == (first < second)
    assert (token_of(first) == token_of(second)) == (first == second)


@given(values, values)
def test_values_are_equal_when_their_tokens_are(first: Any, second: Any) -> None:
    assert (token_of(first) == token_of(second)) == same(first, second)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"x", "bytes"),
        (object(), "object"),
        ({1}, "set"),
        (math.nan, "NaN"),
        ([math.nan], r"m.x\[0\].*NaN"),
        (2**64, "65 bits; give it as"),
        (-(2**63) - 1, "64 bits"),
        ({"a": [2**64]}, r"m.x.a\[0\]"),
        (date(2020, 1, 1), "isoformat"),
        (datetime(2020, 1, 1), "time zone"),
        (datetime(1, 1, 1, tzinfo=BERLIN), "year 1 to 9999"),
        (np.array([[1]]), "one dimension"),
        (np.ma.masked_array([1, 2], mask=[False, True]), "masked"),
        ({1: 2}, "not text: int 1"),
        ("\ud800", "UTF-8"),
        ({"a": "\ud800"}, "UTF-8"),
    ],
)
def test_what_is_no_value_is_refused_with_its_field(value: object, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        text_form(value, "m.x")
    assert str(caught.value).startswith("m.x")


def test_depth_and_number_of_elements_are_bounded() -> None:
    deep: Any = "x"
    for _ in range(VALUE_DEPTH_MAX):
        deep = [deep]
    assert value_of(text_form(deep, "x")) == deep
    with pytest.raises(InvalidArgument, match="16 levels"):
        text_form([deep], "x")
    check_values({"a": text_form([1] * (VALUE_ELEMENTS_MAX - 1), "a"), "b": text_form([1], "b")})
    with pytest.raises(InvalidArgument, match="4097 elements"):
        check_values({"a": text_form([1] * VALUE_ELEMENTS_MAX, "a"), "b": text_form([1], "b")})
    with pytest.raises(InvalidArgument, match=r"path 'a\.k+"):
        check_values({"a": text_form({"k" * 1023: 1}, "a")})


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        *[("i", text) for text in ("", "1.0", "+1", "01", "-0", "1e5", str(2**64), "x", "１")],
        *[("f", text) for text in ("", "nan", "x", "1_0")],
        *[("b", text) for text in ("True", "1", "")],
        *[("n", text) for text in ("", "None")],
        *[("d", text) for text in ("2020-01-01", "2020-01-01T00:00:00", "2020-13-01T00:00:00Z", "1e5")],
        *[("l", text) for text in ("", "{}", "1", "[1", "[NaN]", "[1e999]", '["\\ud800"]', "[" * 9999)],
        *[("l", text) for text in ('[{"$time":"x"}]', '[{"$x":1}]', '[{"$object":{"a":1}}]', f"[{2**64}]")],
        *[("o", text) for text in ("[]", '{"a":1,"a":1}', '{"$float":"nan"}', '{"$float":"inf"}')],
        ("l", "[" * (VALUE_DEPTH_MAX + 1) + "]" * (VALUE_DEPTH_MAX + 1)),
    ],
)
def test_a_text_that_is_not_of_its_type_is_refused_naming_the_key(tag: str, text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"metadata\.k") as caught:
        check_values({"k": CLASSES[tag](text)})
    assert caught.value.field == "metadata.k"


def test_tags_go_by_ascending_key() -> None:
    metadata = {"b": text_form(1, "b"), "a": text_form("x", "a"), "c": text_form(None, "c")}
    assert tags_of(metadata) == "tin"
    assert tags_of({"a": "x"}) == ""
    found = with_tags({key: str(text) for key, text in metadata.items()}, "tin")
    assert found == metadata
    assert tags_of(found) == "tin"
    with pytest.raises(ValueError):
        with_tags(metadata, "ti")
    with pytest.raises(ValueError, match="'z' is no type"):
        with_tags(metadata, "tiz")
