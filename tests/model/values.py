"""Values of all types at random, awkward and few, so that equal ones and neighbours meet; and filters about them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st
from tests.index.metadata_cases import combined

from pykyro.model.filter import Anything, Exact, Filter, In, Range
from pykyro.model.filter_dict import operand
from pykyro.model.tokens import kind_of
from pykyro.model.typed_filter import ORDERED, Among, Between, Present, TextMatch
from pykyro.model.values import text_form

KEYS = ["a", "b", "a.b", "a.b.c", "c.a"]
TEXTS = [
    "",
    "a",
    "ab",
    "B",
    "1",
    "1.0",
    "5",
    "9",
    "-0",
    "true",
    "null",
    "zebra",
    "ß",
    "SS",
    "[1]",
    "\0",
    "\ue000",
]
NUMBERS: list[int | float] = [
    *(0, 1, -1, 2, 5, 9, 10, 2**53, 2**53 + 1, 2**60, 2**60 + 1, -(2**63), 2**64 - 1),
    *(0.0, -0.0, 1.0, 0.1, 0.5, -0.1, 2.0**53, 2.0**60, 1e300, -1e300, 5e-324, math.inf, -math.inf),
]
NOON = datetime(2024, 6, 30, 12, tzinfo=UTC)
TIMES = [
    NOON,
    NOON.astimezone(timezone(timedelta(hours=-5))),
    NOON + timedelta(microseconds=1),
    NOON - timedelta(microseconds=1),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
]

texts = st.sampled_from(TEXTS) | st.text(max_size=2)
numbers = st.sampled_from(NUMBERS) | st.integers(-12, 12) | st.floats(allow_nan=False)
scalars = st.one_of(texts, numbers, st.booleans(), st.none(), st.sampled_from(TIMES))
inner_keys = st.sampled_from(["a", "b", "c", "b.c", "$time"])
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(inner_keys, inner, max_size=2),
    max_leaves=5,
)
keys = st.sampled_from(KEYS)
untagged = texts | numbers.map(lambda number: str(text_form(number, "x")))
"""What clients without types store."""


def kept(entries: dict[str, Any]) -> dict[str, str]:
    """These values in the form in which they are kept."""
    return {key: text_form(value, key) for key, value in entries.items()}


metadata = st.dictionaries(keys, values | untagged, max_size=3).map(kept)
operands = (values | st.integers(-(10**30), 10**30)).map(lambda value: operand(value, "x"))
_bounds = scalars.map(lambda value: operand(value, "x")).filter(lambda bound: bound[0] in ORDERED)


@st.composite
def betweens(draw: st.DrawFn) -> Between:
    """Ranges with one bound or two of one type."""
    low = draw(st.none() | _bounds)
    wanted = (
        _bounds if low is None else st.none() | _bounds.filter(lambda high: kind_of(high) == kind_of(low))
    )
    high = draw(wanted)
    low_open = low is not None and draw(st.booleans())
    high_open = high is not None and draw(st.booleans())
    return Between(draw(keys), low, high, low_open, high_open, draw(st.booleans()))


typed: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Among, keys, st.lists(operands, max_size=3).map(tuple), st.booleans()),
    betweens(),
    st.builds(TextMatch, keys, st.sampled_from(["contains", "icontains", "prefix"]), texts),
    st.builds(Present, keys),
)
text_forms = (values | untagged).map(lambda value: str(text_form(value, "x")))
untyped: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Exact, keys, text_forms),
    st.builds(Range, keys, st.sampled_from([None, "gte", "lte", "gt", "lt"]), text_forms),
    st.builds(In, keys, st.lists(text_forms, max_size=3).map(tuple)),
    st.just(Anything()),
)
filters = combined(typed | untyped, parts_max=3, leaves_max=5)
