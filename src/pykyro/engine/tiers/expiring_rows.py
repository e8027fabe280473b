"""Which rows of a tier are due.

The instants are a column of the metadata index. It may hold values that a client of an earlier version stored under
the same key, so what it finds is held against the reserved metadata of the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from pykyro.model.expiry import NEVER_US, instant_us_in
from pykyro.model.limits import EXPIRES_AT_US_MAX
from pykyro.model.types import Key, key_of_owner

_TOGETHER: Final = 4096
"""Rows whose keys are in memory at a time."""


def due_of(
    rows: npt.NDArray[np.uint32],
    keys_of: Callable[[npt.NDArray[np.uint32]], tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]],
    reserved_of: Callable[[int], bytes],
    last_us: int,
) -> Iterator[tuple[int, Key]]:
    """Those of these rows that go at `last_us` or before, and their keys, of which `keys_of` gives ids and owners."""
    for start in range(0, len(rows), _TOGETHER):
        part = rows[start : start + _TOGETHER]
        doc_ids, owners = keys_of(part)
        for row, doc_id, owner in zip(part.tolist(), doc_ids.tolist(), owners.tolist(), strict=True):
            if instant_us_in(reserved_of(row)) <= last_us:
                yield row, key_of_owner(owner, doc_id)


def as_instant_us(number: float) -> int:
    """A number of the column as an instant; NEVER_US for what is none."""
    return int(number) if number <= EXPIRES_AT_US_MAX else NEVER_US
