"""Which rows of a tier are due.

The instants are a column of the metadata index. It may hold values that a client of an earlier version stored under
the same key, so what it finds is held against the reserved metadata of the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pykyro.model.expiry import NEVER_US, instant_us_in
from pykyro.model.limits import EXPIRES_AT_US_MAX
from pykyro.model.types import Key, key_of_owner


def due_of(
    rows: Iterable[int],
    doc_ids: Iterable[int],
    owners: Iterable[int],
    reserved_of: Callable[[int], bytes],
    last_us: int,
) -> list[tuple[int, Key]]:
    """Those of these rows that go at `last_us` or before, and their keys."""
    return [
        (row, key_of_owner(owner, doc_id))
        for row, doc_id, owner in zip(rows, doc_ids, owners, strict=True)
        if instant_us_in(reserved_of(row)) <= last_us
    ]


def as_instant_us(number: float) -> int:
    """A number of the column as an instant; NEVER_US for what is none."""
    return int(number) if number <= EXPIRES_AT_US_MAX else NEVER_US
