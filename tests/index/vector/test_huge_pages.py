"""Advice about pages never changes what is in them."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

from pykyro.index.vector.huge_pages import want_huge_pages


@pytest.mark.parametrize("offset", [0, 1, mmap.PAGESIZE - 1, mmap.PAGESIZE, 3 * mmap.PAGESIZE + 17])
@pytest.mark.parametrize("size", [0, 1, mmap.PAGESIZE, 4 << 20])
def test_the_memory_holds_what_it_held(offset: int, size: int) -> None:
    memory = np.random.default_rng(1).integers(0, 256, size=(4 << 20) + 8 * mmap.PAGESIZE, dtype=np.uint8)
    before = memory.copy()
    want_huge_pages(memory.ctypes.data + offset, size)
    assert (memory == before).all()
    memory[:] = 7
    assert int(memory.min()) == 7
