"""The sections of a metadata index written piece by piece, in the order of keys and values.

What each section holds stands in pykyro.index.metadata.sections.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pykyro.index.metadata.sections import CODE_DTYPES, DTYPES, code_width_of, dense_from, padded_codes

_STARTS_WITH_ZERO: Final = ("key_ends", "key_values", "key_numbers", "val_ends", "val_rows")
_VALUE_BYTES: Final = 200
"""Of a value that waits in a piece, beside its text and its rows."""


class SectionPieces:
    """Gathers what belongs to each section and hands it out in pieces of about `piece_bytes`."""

    def __init__(self, rows: int, append: Callable[[str, npt.NDArray[Any]], None], piece_bytes: int) -> None:
        self.rows = rows
        self.piece_bytes = piece_bytes
        self._append = append
        self._waiting: dict[str, list[int]] = {name: [] for name in DTYPES}
        self._ends = dict.fromkeys((*_STARTS_WITH_ZERO, "code_starts"), 0)
        for name in DTYPES:
            self.put(name, np.zeros(int(name in _STARTS_WITH_ZERO), dtype=DTYPES[name]))

    def key(self, text: bytes, carriers_max: int) -> KeyPieces:
        """The next key, which no more than so many rows carry."""
        return KeyPieces(self, text, carriers_max)

    def put(self, name: str, piece: npt.NDArray[Any]) -> None:
        """Hand a piece out behind what waits."""
        self._flush(name)
        self._append(name, piece)

    def end(self, name: str, length: int) -> None:
        """Note that a part of such a length ends here."""
        self._ends[name] += length
        self.number(name, self._ends[name])

    def number(self, name: str, number: int) -> None:
        """Put a single number behind what waits."""
        waiting = self._waiting[name]
        waiting.append(number)
        if len(waiting) * _VALUE_BYTES > self.piece_bytes:
            self._flush(name)

    def code_start(self, length: int) -> None:
        """Note where the codes of a key start, which take so many bytes."""
        self.number("code_starts", self._ends["code_starts"])
        self._ends["code_starts"] += length

    def finish(self) -> None:
        """Hand out what waits."""
        for name in DTYPES:
            self._flush(name)

    def _flush(self, name: str) -> None:
        waiting = self._waiting[name]
        if waiting:
            self._append(name, np.array(waiting, dtype=DTYPES[name]))
            waiting.clear()


class KeyPieces:
    """One key: its values in order, first texts, then numbers."""

    def __init__(self, out: SectionPieces, text: bytes, carriers_max: int) -> None:
        self._out = out
        self._text = text
        self._values = self._numbers = self._carriers = 0
        self._num_values = array("d")
        self._codes: npt.NDArray[np.uint32] | None = None
        if carriers_max > dense_from(out.rows):
            self._codes = np.zeros(out.rows, dtype=np.uint32)
        self._texts: list[bytes] = []
        self._counts: list[int] = []
        self._rows: list[npt.NDArray[np.uint32]] = []
        self._singles = array("I")
        self._waiting_bytes = 0

    def add(self, text: bytes, rows: Sequence[npt.NDArray[np.uint32] | int]) -> None:
        """The next value and the rows that have it, one after the other ascending."""
        count = 0
        for some in rows:
            if isinstance(some, int):
                self._singles.append(some)
                count += 1
            else:
                self._join_singles()
                self._rows.append(some)
                count += len(some)
        self._texts.append(text)
        self._counts.append(count)
        self._waiting_bytes += _VALUE_BYTES + len(text) + 4 * count
        if self._waiting_bytes > self._out.piece_bytes:
            self._flush()

    def add_number(self, number: float) -> int:
        """Say that the value added next is a number; how many came before it."""
        self._num_values.append(number)
        self._numbers += 1
        return self._numbers - 1

    def finish(self, num_order: Iterable[int]) -> None:
        """End the key. One without values is left out. `num_order` is which of its numbers comes 1st, 2nd, ... by
        its bytes."""
        self._flush()
        out = self._out
        if not self._values:
            return
        for place in num_order:
            out.number("num_order", place)
        out.put("key_text", np.frombuffer(self._text, dtype=np.uint8))
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
            out.put("codes", codes.view(np.uint8))
        out.number("code_width", width)
        out.code_start(padded_codes(out.rows, width) * width if width else 0)

    def _join_singles(self) -> None:
        if self._singles:
            self._rows.append(np.array(self._singles, dtype=np.uint32))
            self._singles = array("I")

    def _flush(self) -> None:
        self._join_singles()
        out, counts = self._out, self._counts
        if self._num_values:
            out.put("num_values", np.array(self._num_values, dtype=np.float64))
            self._num_values = array("d")
        if not counts:
            return
        rows = np.concatenate([np.empty(0, dtype=np.uint32), *self._rows])
        out.put("rows", rows)
        out.put("val_text", np.frombuffer(b"".join(self._texts), dtype=np.uint8))
        for text, count in zip(self._texts, counts, strict=True):
            out.end("val_ends", len(text))
            out.end("val_rows", count)
        if self._codes is not None:
            places = np.arange(self._values + 1, self._values + 1 + len(counts), dtype=np.uint32)
            self._codes[rows] = np.repeat(places, counts)
        self._values += len(counts)
        self._carriers += len(rows)
        self._texts, self._counts, self._rows, self._waiting_bytes = [], [], [], 0
