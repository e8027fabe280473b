"""Both metadata indices give exactly the rows that the reference evaluator gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.index.metadata_cases import AWKWARD, filters, metadata

from pykyro.index.metadata.metadata_index import FrozenMetadataIndex, MutableMetadataIndex, build_sections
from pykyro.model.filter import And, Anything, Exact, Filter, In, Not, Range, matches

Metadata = Mapping[str, str]
documents = st.lists(metadata, max_size=30)
questions = st.lists(filters, min_size=1, max_size=6)


def frozen(rows: Sequence[Metadata]) -> FrozenMetadataIndex:
    return FrozenMetadataIndex(build_sections(iter(rows), len(rows)), len(rows))


def mutable(rows: Sequence[Metadata]) -> MutableMetadataIndex:
    index = MutableMetadataIndex()
    for row, entries in enumerate(rows):
        index.add(row, entries)
    return index


def expected(rows: Sequence[Metadata], condition: Filter) -> list[int]:
    return [row for row, entries in enumerate(rows) if matches(condition, entries)]


@given(documents, questions)
def test_the_frozen_index_agrees_with_the_definition(rows: list[Metadata], conditions: list[Filter]) -> None:
    index = frozen(rows)
    for condition in conditions * 2:  # the second time from its memory
        assert list(index.match(condition)) == expected(rows, condition)


@given(documents, questions)
def test_the_mutable_index_agrees_with_the_definition(rows: list[Metadata], conditions: list[Filter]) -> None:
    index = mutable(rows)
    for condition in conditions * 2:
        assert list(index.match(condition)) == expected(rows, condition)


@given(st.lists(st.tuples(st.integers(1, 90), metadata), max_size=30), questions)
def test_the_mutable_index_keeps_up_with_rows_added_between_questions(
    steps: list[tuple[int, Metadata]], conditions: list[Filter]
) -> None:
    index = MutableMetadataIndex()
    rows: dict[int, Metadata] = {}
    row = -1
    for gap, entries in steps:
        row += gap
        index.add(row, entries)
        rows[row] = entries
        for condition in conditions:
            assert list(index.match(condition)) == [r for r in rows if matches(condition, rows[r])]


def test_a_question_asked_again_after_many_rows_sees_them_all() -> None:
    index = MutableMetadataIndex()
    condition = And((Exact("parity", "0"), Range("n", "gte", "10")))
    for row in range(500):
        index.add(row, {"parity": str(row % 2), "n": str(row)})
        if row in (20, 30, 400):
            assert list(index.match(condition)) == list(range(10, row + 1, 2))


def test_rows_must_ascend() -> None:
    index = mutable([{}, {}])
    with pytest.raises(ValueError, match="row 1 comes after row 1"):
        index.add(1, {})


LARGE_ROWS = 9_000  # more than a set found by its list may have, so that codes are used too


def large_rows() -> list[Metadata]:
    """Keys that all, most and few rows carry, with few and with many values."""
    rng = np.random.default_rng(1)
    rows: list[Metadata] = []
    for row in range(LARGE_ROWS):
        entries = {
            "tenant": "7",
            "few": "red" if rng.random() < 0.7 else "blue",
            "price": f"{rng.normal():.3f}",
        }
        if rng.random() < 0.6:
            entries["mixed"] = AWKWARD[rng.integers(len(AWKWARD))]
        if rng.random() < 0.1:
            entries["rare"] = str(rng.integers(300))
        if rng.random() < 0.95:
            entries["id"] = f"doc-{row}" if row % 2 else str(row)
        rows.append(entries)
    return rows


LARGE = large_rows()
LARGE_FROZEN, LARGE_MUTABLE = frozen(LARGE), mutable(LARGE)

large_values = st.sampled_from(AWKWARD) | st.sampled_from(LARGE).flatmap(
    lambda row: st.sampled_from(sorted(row.values()))
)
large_keys = st.sampled_from(["tenant", "few", "price", "mixed", "rare", "id", "absent"])
large_leaves: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Exact, large_keys, large_values),
    st.builds(Range, large_keys, st.sampled_from(["gte", "lte", "gt", "lt", None]), large_values),
    st.builds(In, large_keys, st.lists(large_values, max_size=60).map(tuple)),
)


@settings(max_examples=40)
@given(large_leaves, large_leaves)
def test_both_indices_agree_with_the_definition_on_large_sets(first: Filter, second: Filter) -> None:
    for condition in (first, And((first, Not(second)))):
        rows = expected(LARGE, condition)
        assert list(LARGE_FROZEN.match(condition)) == rows
        assert list(LARGE_MUTABLE.match(condition)) == rows


@pytest.mark.parametrize("key", ["tenant", "few", "price", "mixed", "rare", "id", "absent"])
def test_every_row_with_a_key_is_found(key: str) -> None:
    rows = [row for row, entries in enumerate(LARGE) if key in entries]
    assert list(LARGE_FROZEN.match(Range(key, None))) == rows
    assert list(LARGE_MUTABLE.match(Range(key, None))) == rows


def test_many_listed_values_are_found_in_one_pass() -> None:
    for key in ("id", "rare"):
        condition = In(key, tuple(sorted({entries.get(key, "x") for entries in LARGE})[::2]))
        rows = expected(LARGE, condition)
        assert list(LARGE_FROZEN.match(condition)) == rows
        assert list(LARGE_MUTABLE.match(condition)) == rows


def test_an_index_without_rows_matches_nothing() -> None:
    for index in (frozen([]), mutable([])):
        for condition in (Anything(), Exact("a", ""), Not(Exact("a", "")), And(())):
            assert list(index.match(condition)) == []


def test_answers_do_not_depend_on_what_is_remembered() -> None:
    sections = build_sections(iter(LARGE), LARGE_ROWS)
    forgetful, crowded = (FrozenMetadataIndex(sections, LARGE_ROWS, size) for size in (0, 5000))
    for value in ("red", "blue", "green") * 2:
        condition = And((Exact("few", value), Range("price", "gt", "0")))
        assert forgetful.match(condition) == crowded.match(condition) == LARGE_FROZEN.match(condition)


def test_the_number_of_rows_must_be_true() -> None:
    with pytest.raises(ValueError, match="metadata of 1 rows for a segment of 2"):
        build_sections(iter([{}]), 2)
    with pytest.raises(ValueError, match="metadata of 1 rows for a segment of 0"):
        build_sections(iter([{}]), 0)
    with pytest.raises(ValueError, match="segment of 2147483648 rows"):
        build_sections(iter([]), 2**31)


def test_names_of_sections_are_short_and_plain() -> None:
    sections = build_sections(iter([{"a": "b"}]), 1)
    assert all(name.isascii() and len(name) <= 16 for name in sections)
    assert {section.dtype.name for section in sections.values()} <= {"uint8", "uint32", "uint64", "float64"}


def test_sections_may_be_mapped_read_only(tmp_path: Any) -> None:
    mapped: dict[str, npt.NDArray[Any]] = {}
    for name, section in build_sections(iter(LARGE), LARGE_ROWS).items():
        np.save(tmp_path / f"{name}.npy", section)
        mapped[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    index = FrozenMetadataIndex(mapped, LARGE_ROWS)
    for condition in (
        Exact("few", "red"),
        Range("price", "lt", "0"),
        Range("mixed", "gt", "a"),
        Exact("rare", "7"),
    ):
        assert list(index.match(condition)) == expected(LARGE, condition)
