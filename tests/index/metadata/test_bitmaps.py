"""Roaring sets, masks and packed bits are three ways to write the same rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from pykyro.index.metadata.bitmaps import everything, from_mask, from_rows, rows_of, to_bits


@st.composite
def masks(draw: st.DrawFn) -> npt.NDArray[np.bool_]:
    """Containers of each kind: empty, lists, packed bits, runs, full, and a last one cut short."""
    parts = []
    for _ in range(draw(st.integers(0, 6))):
        part = np.zeros(1 << 16, dtype=np.bool_)
        rng = np.random.default_rng(draw(st.integers(0, 2**16)))
        kind = draw(st.sampled_from(["empty", "list", "limit", "bits", "runs", "full"]))
        if kind == "list":
            part[rng.integers(0, 1 << 16, 50)] = True
        elif kind == "limit":
            part[rng.permutation(1 << 16)[: 4096 + draw(st.integers(-1, 1))]] = True
        elif kind == "bits":
            part = rng.random(1 << 16) < 0.4
        elif kind in ("runs", "full"):
            part[:] = kind == "full"
            part[1000 : 1000 + draw(st.integers(1, 30_000))] = True
        parts.append(part)
    mask = np.concatenate([np.zeros(0, dtype=np.bool_), *parts])
    return mask[: len(mask) - draw(st.integers(0, min(len(mask), 70_000)))]


@given(masks())
def test_the_three_ways_agree(mask: npt.NDArray[np.bool_]) -> None:
    rows = np.flatnonzero(mask).astype(np.uint32)
    packed = np.packbits(mask, bitorder="little")
    optimised = BitMap(from_rows(rows))
    optimised.run_optimize()
    for bitmap in (from_mask(mask), from_rows(rows), from_rows(rows[::-1]), optimised):
        assert len(bitmap) == len(rows)
        assert (rows_of(bitmap) == rows).all()
        bits = to_bits(bitmap, len(mask))
        assert bits.dtype == np.uint8
        assert (bits == packed).all()


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 65_536, 65_537, 100_000])
def test_everything_is_every_row(rows: int) -> None:
    assert (rows_of(everything(rows)) == np.arange(rows)).all()
    assert (
        to_bits(everything(rows), rows) == np.packbits(np.ones(rows, dtype=np.bool_), bitorder="little")
    ).all()


def test_a_row_beyond_the_last_is_refused() -> None:
    with pytest.raises(ValueError, match="row 9 is in the set, but there are only 9"):
        to_bits(BitMap([1, 9]), 9)
