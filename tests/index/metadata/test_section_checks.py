"""Damaged sections are refused, or answer wrongly at worst; they never take the process down."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykyro.index.metadata.metadata_index import FrozenMetadataIndex, build_sections
from pykyro.model.filter import Exact, Filter, In, Not, Range

ROWS = 6_000
SECTIONS = build_sections(
    (
        {"all": str(row % 7), "few": f"x{row}", "n": str(row)} | ({"rare": "y"} if row % 50 == 0 else {})
        for row in range(ROWS)
    ),
    ROWS,
)
QUESTIONS: list[Filter] = [
    Exact("all", "3"),
    Exact("few", "x17"),
    Exact("n", "17"),
    Range("n", "gte", "100"),
    Range("n", "lt", "3x"),
    Range("few", "lt", "x3"),
    Range("rare", None),
    In("few", tuple(f"x{row}" for row in range(40))),
    In("rare", tuple("xyz")),
    Not(Exact("rare", "y")),
]


def damaged(name: str, section: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    return SECTIONS | {name: section}


@given(st.data())
def test_damage_is_a_value_error_or_a_wrong_answer(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(SECTIONS)))
    section = SECTIONS[name]
    spoiled = bytearray(section.tobytes())
    if spoiled:
        for _ in range(data.draw(st.integers(1, 3))):
            spoiled[data.draw(st.integers(0, len(spoiled) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, 3))
    array = np.frombuffer(bytes(spoiled), dtype=section.dtype)
    try:
        index = FrozenMetadataIndex(damaged(name, array[: len(array) - cut]), ROWS)
        for question in QUESTIONS:
            found = index.match(question)
            assert not found or found.max() < ROWS
    except ValueError:
        pass


@pytest.mark.parametrize("name", sorted(SECTIONS))
def test_a_missing_section_is_named(name: str) -> None:
    rest = {other: section for other, section in SECTIONS.items() if other != name}
    with pytest.raises(ValueError, match=f"section {name} must be"):
        FrozenMetadataIndex(rest, ROWS)


@pytest.mark.parametrize("name", sorted(SECTIONS))
def test_a_section_of_another_type_is_named(name: str) -> None:
    for wrong in (SECTIONS[name].astype(np.int16), SECTIONS[name].reshape(1, -1)):
        with pytest.raises(ValueError, match=f"section {name} must be"):
            FrozenMetadataIndex(damaged(name, wrong), ROWS)


@pytest.mark.parametrize(
    "name", ["key_ends", "key_values", "key_numbers", "val_ends", "val_rows", "code_width"]
)
def test_a_section_that_is_too_short_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="metadata section"):
        FrozenMetadataIndex(damaged(name, SECTIONS[name][:-1]), ROWS)


def changed(name: str, place: int, value: int) -> dict[str, npt.NDArray[Any]]:
    section = SECTIONS[name].copy()
    section[place] = value
    return damaged(name, section)


@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("rows", 5, ROWS, f"row {ROWS} of {ROWS}"),
        ("val_ends", 3, 2**63, "val_ends does not divide"),
        ("val_rows", 3, 2**40, "val_rows does not divide"),
        ("num_order", 0, ROWS, "num_order is no order"),
        ("code_width", 0, 3, "codes has no"),
        ("code_width", 0, 0, "code_width does not fit"),
        ("code_starts", 0, 1 << 20, "codes has no"),
        ("code_starts", 0, 1, "codes has no"),
        ("codes", 0, 200, "names a value beyond"),
    ],
)
def test_damage_is_named(name: str, place: int, value: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FrozenMetadataIndex(changed(name, place, value), ROWS)


def test_sections_of_another_number_of_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="metadata section"):
        FrozenMetadataIndex(SECTIONS, ROWS - 1)
    with pytest.raises(ValueError, match="metadata section"):
        FrozenMetadataIndex(SECTIONS, ROWS * 2)
