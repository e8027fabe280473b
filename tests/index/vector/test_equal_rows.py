"""Lists of equal rows: every row stands on one, and of equal vectors the first that count are found."""

from __future__ import annotations

from typing import TypeAlias

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from pykyro.index.vector import equal_rows as module
from pykyro.index.vector.equal_rows import EqualRows, Ids, Keys, equal_rows, numbered

Made: TypeAlias = tuple[list[int], list[int], EqualRows, Ids]


@st.composite
def lists(draw: st.DrawFn) -> Made:
    """The point and the vector of each row, the lists of these, and the ids of the rows."""
    vectors = draw(st.lists(st.integers(0, 5), min_size=1, max_size=60))
    _, vector_of = numbered(np.array(vectors, np.uint64))
    point_of_vector = numbered(
        np.array(draw(st.lists(st.integers(0, 2), min_size=6, max_size=6)), np.uint64)
    )[1]
    _, point_of = numbered(point_of_vector[vector_of].astype(np.uint64))
    ids = np.array(draw(st.permutations(range(len(vectors)))), np.uint64)
    rows = np.array(vector_of, np.float32)[:, np.newaxis].repeat(3, axis=1)
    return point_of.tolist(), vector_of.tolist(), equal_rows(point_of, rows, ids), ids


@given(lists(), st.integers(1, 5), st.integers(0, 2**60 - 1) | st.none())
def test_of_equal_vectors_the_first_ids_that_count_are_listed(
    made: Made, most: int, mask: int | None
) -> None:
    point_of, vector_of, equal, ids = made
    assert equal.point_of.tolist() == point_of
    again = EqualRows(equal.sections())
    assert again.point_rows.tolist() == equal.point_rows.tolist()
    counts = [mask is None or bool(mask >> row & 1) for row in range(len(point_of))]
    bits = None if mask is None else np.packbits(counts, bitorder="little")
    points = np.unique(point_of)[::-1].copy()
    expanded = equal.expanded(points, bits, most)
    assert expanded is not None
    rows, of, cut = expanded
    wanted: list[int] = []
    left_out = False
    for vector in set(vector_of):
        equals = sorted(
            (r for r, v in enumerate(vector_of) if v == vector and counts[r]), key=lambda r: ids[r]
        )
        wanted += equals[:most]
        left_out |= len(equals) > most
    assert sorted(rows.tolist()) == sorted(wanted)
    assert points[of].tolist() == [point_of[row] for row in rows.tolist()]
    assert cut or not left_out
    if bits is not None:
        selected = np.unpackbits(equal.points_of(bits), count=equal.points, bitorder="little")
        assert selected.tolist() == [
            any(c for c, p in zip(counts, point_of, strict=True) if p == q) for q in range(equal.points)
        ]


def test_too_long_lists_are_not_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LISTED_MAX", 100)
    rows = np.zeros((500, 4), np.float32)
    equal = equal_rows(np.zeros(500, np.int64), rows, np.arange(500, dtype=np.uint64))
    first = np.packbits(np.arange(500) < 10, bitorder="little")
    last = np.packbits(np.arange(500) >= 490, bitorder="little")
    found = equal.expanded(np.array([0]), first, 10)
    assert found is not None
    assert found[0].tolist() == list(range(10))
    assert equal.expanded(np.array([0]), last, 10) is None


def test_lists_that_do_not_fit_are_refused() -> None:
    sections = equal_rows(
        np.array([0, 0, 1]), np.zeros((3, 2), np.float32), np.arange(3, dtype=np.uint64)
    ).sections()
    for name, array in sections.items():
        with pytest.raises(ValueError, match="do not fit"):
            EqualRows(sections | {name: array[:-1]})


def test_keys_tell_rows_apart() -> None:
    rows = np.concatenate(
        [np.eye(64, dtype=np.float32), np.eye(64, dtype=np.float32), -np.eye(64, dtype=np.float32)]
    )
    keys = Keys(256).of(rows.view(np.uint8))
    assert (keys[:64] == keys[64:128]).all()
    assert len(np.unique(keys)) == 128
