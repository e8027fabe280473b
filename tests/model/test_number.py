"""Numbers compare as numbers, however many digits they have; indices and definition agree with arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from math import inf, isinf, nextafter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykyro.index.metadata.metadata_index import FrozenMetadataIndex, MutableMetadataIndex, build_sections
from pykyro.model.filter import Range, matches
from pykyro.model.filter_dict import parse_filter
from pykyro.model.number import COMPARE, RangeOperator, exact_order, parse_number

OPERATORS: Sequence[RangeOperator] = ("gte", "lte", "gt", "lt")


def number(text: str) -> Fraction | float:
    """What the text means, by arithmetic."""
    nearest = float(text)
    if isinf(nearest) and ("e" in text.lower() or "i" in text.lower()):
        return nearest
    if "e" in text.lower() and abs(nearest) >= 2**53:
        return Fraction(nearest)
    return Fraction(Decimal(text))


_centres = st.sampled_from(
    [0, 2**53, 2**60, 2**63, 10**15, 10**18, 10**23, 10**30, 1_700_000_000_000_000_000]
)
_integers = st.builds(
    lambda centre, off, sign: sign * (centre + off), _centres, st.integers(-4, 4), st.sampled_from([1, -1])
)
_forms = st.sampled_from(
    ["{}", "{}.0", "{}.", "{}.5", "{}.25", "{}e0", "{}E2", "{}e-2", "{}.000000000000000001"]
)


@st.composite
def _texts(draw: st.DrawFn) -> str:
    value = draw(_integers)
    text = draw(_forms).format("0" * draw(st.integers(0, 2)) + str(abs(value)))
    return draw(st.sampled_from(["", "+"] if value >= 0 else ["-"])) + text


texts = (
    _texts()
    | st.floats(allow_nan=False).map(repr)
    | st.sampled_from(
        ["inf", "-Infinity", "-0", "0e5", ".5", "5.", "1e3", "1e-3", "0.001", "1e400", "-1e400"]
    )
)


@given(texts, texts)
def test_order_is_that_of_arithmetic(first: str, second: str) -> None:
    assert (exact_order(first) < exact_order(second)) == (number(first) < number(second))
    assert (exact_order(first) == exact_order(second)) == (number(first) == number(second))


@given(texts, texts)
def test_float64_never_disagrees_with_it(first: str, second: str) -> None:
    if float(first) < float(second):
        assert exact_order(first) < exact_order(second)


@given(st.lists(texts, min_size=1, max_size=40), texts, st.sampled_from(OPERATORS))
def test_indices_and_definition_agree_with_arithmetic(
    values: list[str], bound: str, op: RangeOperator
) -> None:
    condition = Range("n", op, bound)
    wanted = [row for row, value in enumerate(values) if COMPARE[op](number(value), number(bound))]
    rows = [{"n": value} for value in values]
    assert [row for row, entries in enumerate(rows) if matches(condition, entries)] == wanted
    growing = MutableMetadataIndex()
    for row, entries in enumerate(rows):
        growing.add(row, entries)
    assert list(growing.match(condition)) == wanted
    assert list(FrozenMetadataIndex(build_sections(rows, len(rows)), len(rows)).match(condition)) == wanted


@pytest.mark.parametrize("base", [2**60, 10**30, -(2**60), -(10**30), 1_732_900_000_123_456_789])
@pytest.mark.parametrize("spread", [5, 100, 1000])
def test_neighbours_beyond_float64_are_told_apart(base: int, spread: int) -> None:
    values = [base + (at * 7919) % spread for at in range(spread)]
    rows = [{"id": str(value)} for value in values]
    frozen = FrozenMetadataIndex(build_sections(rows, len(rows)), len(rows))
    for bound in (base, base + 1, base + spread // 2, base + spread - 1, base + spread, base - 1):
        for op in OPERATORS:
            wanted = [row for row, value in enumerate(values) if COMPARE[op](value, bound)]
            for _ in range(2):
                assert list(frozen.match(parse_filter({"id": {f"${op}": bound}}))) == wanted


@pytest.mark.parametrize("bound", [2.0**60, float(10**30), 1e23, 9007199254740993.0, nextafter(2.0**60, inf)])
def test_floats_of_python_mean_in_a_filter_what_they_mean_in_python(bound: float) -> None:
    values = [int(bound) + off for off in range(-300, 300)] + [10**23, 10**30]
    rows = [{"id": str(value)} for value in values] + [{"id": repr(bound)}]
    frozen = FrozenMetadataIndex(build_sections(rows, len(rows)), len(rows))
    for op in OPERATORS:
        wanted = [row for row, value in enumerate([*values, bound]) if COMPARE[op](value, bound)]
        assert list(frozen.match(parse_filter({"id": {f"${op}": bound}}))) == wanted
        assert list(frozen.match(parse_filter({"id": {f"${op}": np.float64(bound)}}))) == wanted


def test_numbers_without_end_are_compared_quickly() -> None:
    long, longer = "9" * 1_000_000, "9" * 999_999 + "8" + "0"
    assert exact_order(long) < exact_order(longer)
    assert exact_order("-" + long) > exact_order("-" + longer)
    assert exact_order("0." + long) < exact_order("1")
    assert exact_order(long) < exact_order("inf")
    for text in ("1e" + long, "0." + long + "e-" + long, "0e" + long, "1e-" + "9" * 19):
        assert parse_number(text) is not None
        exact_order(text)
    assert exact_order("1e-" + "9" * 30) > exact_order("0")


def test_many_ties_of_many_runs_are_remembered_within_bounds() -> None:
    values = [str(2**60 + 4096 * run + at) for run in range(1100) for at in range(20)]
    rows = [{"id": value} for value in values]
    frozen = FrozenMetadataIndex(build_sections(rows, len(rows)), len(rows), cache_bytes=0)
    for run in range(1100):
        bound = 2**60 + 4096 * run + 10
        assert len(frozen.match(Range("id", "lt", str(bound)))) == 20 * run + 10
