"""The metadata of a segment laid out as plain arrays, to be written to a file and mapped back.

Keys are sorted by their bytes and so numbered. Each key has its distinct values: first those that are no
numbers, by their bytes; then those that are (parse_number), by number, NaN last, equal ones by their bytes.
In this order the values of a key are numbered through all keys; a range of numbers, a range of texts and a
single value are all runs of values. All text is UTF-8. Numbers that float64 cannot tell apart are equal here;
who needs their order looks at their texts (pykyro.model.number).

    name          dtype    length        content
    key_ends      uint64   keys + 1      where key i lies in key_text: [i] to [i + 1]
    key_text      uint8
    key_values    uint64   keys + 1      first value of each key
    key_numbers   uint64   keys + 1      first entry of each key in num_values and num_order
    val_ends      uint64   values + 1    where each value lies in val_text
    val_text      uint8
    val_rows      uint64   values + 1    where the rows with each value lie in rows
    rows          uint32                 row numbers, ascending for each value
    num_values    float64  numbers       the numbers of each key's values, in their order
    num_order     uint32   numbers       which of a key's numbers comes 1st, 2nd, ... by its bytes
    code_width    uint8    keys          bytes of a code in codes: 0 (the key has none), 1, 2 or 4
    code_starts   uint64   keys          where the codes of the key start in codes; a multiple of 8
    codes         uint8                  for each row 1 + the place of its value in the key's, 0 without the
    key

Keys that many rows carry have codes: one comparison over them finds a dense set faster than its list of rows. The
typed column of a key (pykyro.index.metadata.typed_columns) is a key of its own, and has codes unless some row has
several values in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import isnan
from sys import getsizeof
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from pykyro.index.metadata.column import Column, new_column
from pykyro.index.metadata.typed_columns import typed_entries
from pykyro.model.limits import SEGMENT_ROWS_MAX
from pykyro.model.number import parse_number

Sections = dict[str, npt.NDArray[Any]]
_Scalar = TypeVar("_Scalar", bound=np.generic)

DTYPES: Final[Mapping[str, type[np.generic]]] = {
    "key_ends": np.uint64,
    "key_text": np.uint8,
    "key_values": np.uint64,
    "key_numbers": np.uint64,
    "val_ends": np.uint64,
    "val_text": np.uint8,
    "val_rows": np.uint64,
    "rows": np.uint32,
    "num_values": np.float64,
    "num_order": np.uint32,
    "code_width": np.uint8,
    "code_starts": np.uint64,
    "codes": np.uint8,
}
CODE_DTYPES: Final[Mapping[int, type[np.unsignedinteger[Any]]]] = {1: np.uint8, 2: np.uint16, 4: np.uint32}


_KEY_BYTES: Final = 150
"""A key and its place in a table."""
_SINGLE_BYTES: Final = 100
"""A row and its value, beside the letters."""

Single: TypeAlias = tuple[int, str]
"""The row and the value of a key that one row has, as many keys do where each document has its own."""


def dense_from(rows: int) -> int:
    """A set of more rows than this is found by its code, a smaller one by its list: measured to be even."""
    return max(4096, rows // 16)


def code_width_of(values: int) -> int:
    """Bytes of a code that can number so many values."""
    return next(width for width, dtype in CODE_DTYPES.items() if values <= np.iinfo(dtype).max)


def padded_codes(rows: int, width: int) -> int:
    """Codes of a key, so that those of the next start at a multiple of 8 bytes."""
    return -(-rows // (8 // width)) * (8 // width)


def utf8(text: str) -> bytes:
    """The bytes of any str, lone surrogates too, in an order that is the order of code points."""
    return text.encode("utf-8", "surrogatepass")


def build_sections(metadata: Iterable[Mapping[str, str]], rows: int) -> Sections:
    """The arrays for these rows, numbered from 0 in the order given.

    Raises ValueError when `metadata` has not `rows` entries or there are more than SEGMENT_ROWS_MAX.
    """
    check_rows(rows)
    builder = SectionsBuilder()
    for entries in metadata:
        builder.add(entries)
    if builder.rows != rows:
        raise ValueError(f"metadata of {builder.rows} rows for a segment of {rows}")
    return builder.finish()


def check_rows(rows: int) -> None:
    """Refuse a segment of too many rows. Raises ValueError."""
    if not 0 <= rows <= SEGMENT_ROWS_MAX:
        raise ValueError(f"segment of {rows} rows; the maximum is {SEGMENT_ROWS_MAX}")


class SectionsBuilder:
    """Takes the metadata of rows one by one, then lays it out."""

    def __init__(self) -> None:
        self._columns: dict[str, Column | Single] = {}
        self.rows = 0
        self.size_bytes = 0
        """Memory taken so far, about; laying it out takes as much again."""

    def add(self, metadata: Mapping[str, str]) -> None:
        """Take the next row."""
        typed = False
        for key, value in metadata.items():
            if type(value) is not str:
                typed, value = True, str.__str__(value)
            self._add(key, value)
        if typed:
            for key, value in typed_entries(metadata):
                self._add(key, value)
        self.rows += 1

    def _add(self, key: str, value: str) -> None:
        columns, row = self._columns, self.rows
        held = columns.get(key)
        if held is None:
            columns[key] = (row, value)
            self.size_bytes += _KEY_BYTES + _SINGLE_BYTES + len(key) + getsizeof(value)
        elif isinstance(held, Column):
            self.size_bytes += held.add(row, value)
        else:
            column = columns[key] = new_column(key)
            column.add(*held)
            column.add(row, value)
            self.size_bytes += column.size_bytes

    def finish(self) -> Sections:
        """The arrays. The builder is empty behind it."""
        rows, columns = self.rows, self._columns
        self.rows, self._columns, self.size_bytes = 0, {}, 0
        return _laid_out(columns, rows)


def _laid_out(columns: dict[str, Column | Single], rows: int) -> Sections:
    keys = sorted(columns)
    frozen: list[_Frozen] = []
    singles: list[Single] = []
    for held in map(columns.pop, keys):
        if not isinstance(held, Column):
            singles.append(held)
            continue
        if singles:
            frozen.append(_freeze_singles(singles))
            singles = []
        frozen.append(_freeze(held, rows))
    if singles:
        frozen.append(_freeze_singles(singles))
    texts = [text for part in frozen for text in part.texts]
    keys_utf8 = [utf8(key) for key in keys]
    return {
        "key_ends": _ends(map(len, keys_utf8)),
        "key_text": np.frombuffer(b"".join(keys_utf8), dtype=np.uint8),
        "key_values": _ends(count for part in frozen for count in part.values),
        "key_numbers": _ends(count for part in frozen for count in part.numbers),
        "val_ends": _ends(map(len, texts)),
        "val_text": np.frombuffer(b"".join(texts), dtype=np.uint8),
        "val_rows": _ends(count for part in frozen for count in part.counts),
        "rows": _joined((part.rows for part in frozen), np.uint32),
        "num_values": _joined((part.num_values for part in frozen), np.float64),
        "num_order": _joined((part.num_order for part in frozen), np.uint32),
        "code_width": np.array([width for part in frozen for width in part.code_widths], dtype=np.uint8),
        "code_starts": _ends(length for part in frozen for length in part.code_bytes)[:-1],
        "codes": _joined((part.codes for part in frozen), np.uint8),
    }


@dataclass(frozen=True, slots=True)
class _Frozen:
    """The share that some keys, which follow one another, have of the sections."""

    values: Sequence[int]
    """How many each key has, as everything up to `code_bytes` is for each key."""
    numbers: Sequence[int]
    code_widths: Sequence[int]
    code_bytes: Sequence[int]
    texts: list[bytes]
    counts: Sequence[int]
    """How many rows have each value."""
    rows: npt.NDArray[np.uint32]
    num_values: npt.NDArray[np.float64]
    num_order: npt.NDArray[np.uint32]
    codes: npt.NDArray[np.uint8]


_NO_CODES: Final = np.empty(0, dtype=np.uint8)


def _freeze(column: Column, rows: int) -> _Frozen:
    values = column.texts
    numbers = column.numbers
    texts = sorted(
        (code for code in range(len(values)) if not column.is_number[code]), key=values.__getitem__
    )
    numeric = sorted(
        (code for code in range(len(values)) if column.is_number[code]),
        key=lambda code: (isnan(numbers[code]), 0.0 if isnan(numbers[code]) else numbers[code], values[code]),
    )
    order = texts + numeric
    rank = np.empty(len(order), dtype=np.uint32)
    rank[order] = np.arange(len(order), dtype=np.uint32)
    ranks = rank[np.array(column.codes, dtype=np.uint32)]
    carriers = np.array(column.rows, dtype=np.uint32)
    code_width = 0
    codes = _NO_CODES
    if len(carriers) > dense_from(rows) and not column.repeated:
        code_width = code_width_of(len(order))
        wide = np.zeros(padded_codes(rows, code_width), dtype=CODE_DTYPES[code_width])
        wide[carriers] = ranks + 1
        codes = wide.view(np.uint8)
    return _Frozen(
        values=[len(order)],
        numbers=[len(numeric)],
        code_widths=[code_width],
        code_bytes=[len(codes)],
        texts=[utf8(values[code]) for code in order],
        counts=np.bincount(ranks, minlength=len(order)).tolist(),
        rows=carriers[np.argsort(ranks, kind="stable")],
        num_values=np.array([numbers[code] for code in numeric], dtype=np.float64),
        num_order=np.array(
            sorted(range(len(numeric)), key=lambda place: values[numeric[place]]), dtype=np.uint32
        ),
        codes=codes,
    )


def _freeze_singles(singles: Iterable[Single]) -> _Frozen:
    """Many at once: there may be millions, and an array for each would take longer than all the rest."""
    rows, texts = zip(*singles, strict=True)
    numbers = [parse_number(text) for text in texts]
    real = [number for number in numbers if number is not None]
    ones, zeros = (1,) * len(rows), (0,) * len(rows)
    return _Frozen(
        values=ones,
        numbers=[number is not None for number in numbers],
        code_widths=zeros,
        code_bytes=zeros,
        texts=list(map(utf8, texts)),
        counts=ones,
        rows=np.array(rows, dtype=np.uint32),
        num_values=np.array(real, dtype=np.float64),
        num_order=np.zeros(len(real), dtype=np.uint32),
        codes=_NO_CODES,
    )


def _ends(lengths: Iterable[int]) -> npt.NDArray[np.uint64]:
    """0, then where each of the parts ends when they follow one another."""
    return np.fromiter(accumulate(lengths, initial=0), dtype=np.uint64)


def _joined(parts: Iterable[npt.NDArray[Any]], dtype: type[_Scalar]) -> npt.NDArray[_Scalar]:
    return np.concatenate([np.empty(0, dtype=dtype), *parts])
