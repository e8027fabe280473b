"""The sections of a metadata index written piece by piece, in the order of keys and values.

What each section holds stands in pykyro.index.metadata.sections. A key has a few dozen bytes as often as it has
megabytes, and there may be a million keys: so what a key adds is put behind what others added, as bytes, and no array
is made for one key alone unless it needs codes.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pykyro.index.metadata.sections import CODE_DTYPES, DTYPES, code_width_of, dense_from, padded_codes

_STARTS_WITH_ZERO: Final = ("key_ends", "key_values", "key_numbers", "val_ends", "val_rows")
_TYPE_CODES: Final = {np.uint8: "B", np.uint32: "I", np.uint64: "Q", np.float64: "d"}

Rows = npt.NDArray[np.uint32]


class SectionPieces:
    """Gathers what belongs to each section and hands it out in pieces of about `piece_bytes`."""

    def __init__(self, rows: int, append: Callable[[str, npt.NDArray[Any]], None], piece_bytes: int) -> None:
        self.rows = rows
        self._append = append
        self._waiting: dict[str, array[Any]] = {name: array(_TYPE_CODES[DTYPES[name]]) for name in DTYPES}
        self._items_max = {name: piece_bytes // waiting.itemsize for name, waiting in self._waiting.items()}
        self._ends = dict.fromkeys((*_STARTS_WITH_ZERO, "code_starts"), 0)
        for name in DTYPES:
            self._hand_out(name)
        for name in _STARTS_WITH_ZERO:
            self.number(name, 0)

    def key(self, text: bytes, carriers_max: int) -> KeyPieces:
        """The next key, which no more than so many rows carry."""
        return KeyPieces(self, text, carriers_max)

    def put(self, name: str, data: bytes) -> None:
        """Put the bytes of some items behind what waits."""
        waiting = self._waiting[name]
        waiting.frombytes(data)
        if len(waiting) > self._items_max[name]:
            self._hand_out(name)

    def end(self, name: str, length: int) -> None:
        """Note that a part of such a length ends here."""
        self._ends[name] += length
        self.number(name, self._ends[name])

    def put_many(self, name: str, items: npt.NDArray[Any]) -> None:
        """Put items behind what waits; where a section has ends or starts, `items` are lengths."""
        if name in self._ends:
            lengths, before = items, self._ends[name]
            self._ends[name] = before + int(lengths.sum())
            # Where something starts is where what comes before it ends.
            items = before + np.cumsum(lengths) - (lengths if name == "code_starts" else 0)
        self.put(name, items.astype(DTYPES[name], copy=False).tobytes())

    def number(self, name: str, number: float) -> None:
        """Put a single number behind what waits."""
        waiting = self._waiting[name]
        waiting.append(number)
        if len(waiting) > self._items_max[name]:
            self._hand_out(name)

    def code_start(self, length: int) -> None:
        """Note where the codes of a key start, which take so many bytes."""
        self.number("code_starts", self._ends["code_starts"])
        self._ends["code_starts"] += length

    def finish(self) -> None:
        """Hand out what waits."""
        for name, waiting in self._waiting.items():
            if waiting:
                self._hand_out(name)

    def _hand_out(self, name: str) -> None:
        waiting = self._waiting[name]
        self._waiting[name] = array(waiting.typecode)
        self._append(name, np.frombuffer(waiting, dtype=DTYPES[name]))


class KeyPieces:
    """One key: its values in order, first texts, then numbers."""

    __slots__ = ("_carriers", "_codes", "_numbers", "_out", "_text", "_values")

    def __init__(self, out: SectionPieces, text: bytes, carriers_max: int) -> None:
        self._out = out
        self._text = text
        self._values = self._numbers = self._carriers = 0
        self._codes: Rows | None = None
        if carriers_max > dense_from(out.rows):
            self._codes = np.zeros(out.rows, dtype=np.uint32)

    def add(self, text: bytes, rows: Sequence[Rows | int]) -> None:
        """The next value and the rows that have it, one after the other ascending."""
        out, count = self._out, 0
        self._values += 1
        for some in rows:
            if isinstance(some, int):
                out.number("rows", some)
                count += 1
            else:
                out.put("rows", some.tobytes())
                count += len(some)
            if self._codes is not None:
                self._codes[some] = self._values
        out.put("val_text", text)
        out.end("val_ends", len(text))
        out.end("val_rows", count)
        self._carriers += count

    def add_number(self, number: float) -> int:
        """Say that the value added next is a number; how many came before it."""
        self._out.number("num_values", number)
        self._numbers += 1
        return self._numbers - 1

    def finish(self, num_order: Iterable[int]) -> None:
        """End the key. One without values is left out. `num_order` is which of its numbers comes 1st, 2nd, ... by
        its bytes."""
        out = self._out
        if not self._values:
            return
        for place in num_order:
            out.number("num_order", place)
        out.put("key_text", self._text)
        out.end("key_ends", len(self._text))
        out.end("key_values", self._values)
        out.end("key_numbers", self._numbers)
        width = 0
        # A row that has several values has one code, and so there are none.
        if (
            self._codes is not None
            and self._carriers > dense_from(out.rows)
            and np.count_nonzero(self._codes) == self._carriers
        ):
            width = code_width_of(self._values)
            codes = np.zeros(padded_codes(out.rows, width), dtype=CODE_DTYPES[width])
            codes[: out.rows] = self._codes
            out.put("codes", codes.tobytes())
        out.number("code_width", width)
        out.code_start(padded_codes(out.rows, width) * width if width else 0)
