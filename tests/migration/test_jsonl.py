"""Vectors as text: the same 32 bits when they are read again."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykyro.migration.jsonl import vector_text


def read_again(text: str) -> bytes:
    """As a reader does that knows JSON numbers as float64."""
    return np.array(json.loads(f"[{text}]"), dtype=np.float64).astype(np.float32).tobytes()


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_any_float32_survives(components: list[float]) -> None:
    vector = np.array(components, dtype=np.float32)
    assert read_again(vector_text(vector)) == vector.tobytes()


@pytest.mark.parametrize("sign", [0, 1])
def test_every_exponent_and_its_edges_survive(sign: int) -> None:
    mantissas = np.array([0, 1, 2, 0x3FFFFF, 0x400000, 0x400001, 0x7FFFFE, 0x7FFFFF], dtype=np.uint32)
    exponents = np.arange(255, dtype=np.uint32) << 23
    vector = (exponents[:, None] | mantissas | np.uint32(sign << 31)).reshape(-1).view(np.float32)
    assert read_again(vector_text(vector)) == vector.tobytes()
