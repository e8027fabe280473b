"""Keys that one segment alone has and few rows carry, merged many at a time.

Where each document brings keys of its own there are millions of them. What belongs to such a key lies together in
every section, so for a thousand keys each section is gathered once, by its ranges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from pykyro.index.metadata.section_pieces import SectionPieces

_SMALL_ROWS_MAX: Final = 16
"""Such a key has no codes (sections.dense_from)."""
_SMALL_BYTES_MAX: Final = 256
"""Of its values together. What is gathered takes nine times as much for a moment."""
MANY_KEYS: Final = 2048
_READ_KEYS: Final = 4096

Key: TypeAlias = tuple[bytes, int, int, bool]
"""Text, number of the input, number of the key in it, and whether it is small."""
Indices: TypeAlias = npt.NDArray[np.int64]


def keys_of(sections: Mapping[str, npt.NDArray[Any]], at: int) -> Iterator[Key]:
    """The keys of an input, which is the one of number `at`, in order."""
    count = len(sections["code_width"])
    for begin in range(0, count, _READ_KEYS):
        end = min(begin + _READ_KEYS, count)
        first_values = sections["key_values"][begin : end + 1]
        carriers = np.diff(sections["val_rows"][first_values])
        letters = np.diff(sections["val_ends"][first_values])
        small = ((carriers <= _SMALL_ROWS_MAX) & (letters <= _SMALL_BYTES_MAX)).tolist()
        bounds = sections["key_ends"][begin : end + 1].tolist()
        texts, base = sections["key_text"][bounds[0] : bounds[-1]].tobytes(), bounds[0]
        for place in range(end - begin):
            yield texts[bounds[place] - base : bounds[place + 1] - base], at, begin + place, small[place]


class SmallKeys:
    """Copies such keys out of their inputs."""

    def __init__(
        self,
        inputs: Sequence[Mapping[str, npt.NDArray[Any]]],
        new_rows: Sequence[npt.NDArray[np.uint32]],
        gone: int,
    ) -> None:
        """`new_rows` has for each input the new number of each of its rows, or `gone`."""
        self._inputs, self._new_rows, self._gone = inputs, new_rows, gone

    def copy(self, out: SectionPieces, keys: Sequence[tuple[int, int]]) -> bool:
        """Hand them out, each given as its input and its number there; a key whose rows are all gone is left out.
        False, with nothing done, when some rows of a key are gone and some are not."""
        origin = np.array(keys, dtype=np.int64).reshape(-1, 2)
        gathered: dict[str, list[npt.NDArray[Any]]] = {}
        lengths: dict[str, list[Indices]] = {}
        kept = np.ones(len(origin), dtype=np.bool_)
        by_input: list[Indices] = []
        for at in range(len(self._inputs)):
            mine = np.flatnonzero(origin[:, 0] == at)
            numbers = origin[mine, 1]
            stay = self._staying(at, numbers)
            if stay is None:
                return False
            kept[mine[~stay]] = False
            by_input.append(mine[stay])
            for name, (items, sizes) in self._gathered(at, numbers[stay]).items():
                gathered.setdefault(name, []).append(items)
                lengths.setdefault(name, []).append(sizes)
        order = np.argsort(np.concatenate(by_input), kind="stable")
        for name, pieces in gathered.items():
            _put(out, name, np.concatenate(pieces), np.concatenate(lengths[name]), order)
        return True

    def _staying(self, at: int, numbers: Indices) -> npt.NDArray[np.bool_] | None:
        """Which keys stay; None when one of them stays in part."""
        starts, ends = self._rows_between(at, numbers)
        rows = self._new_rows[at][self._inputs[at]["rows"][ranges(starts, ends)]]
        key_of_row = np.repeat(np.arange(len(numbers)), ends - starts)
        left = np.bincount(key_of_row[rows != self._gone], minlength=len(numbers))
        return left > 0 if np.all((left == 0) | (left == ends - starts)) else None

    def _gathered(self, at: int, numbers: Indices) -> dict[str, tuple[npt.NDArray[Any], Indices]]:
        """What belongs to these keys in each section, and how much of it to each key. Where a section has ends, it is
        lengths."""
        sections = self._inputs[at]
        first, end = _bounds(sections["key_values"], numbers)
        values, sizes = ranges(first, end), end - first
        rows = self._rows_between(at, numbers)
        texts = _bounds_at(sections["val_ends"], first, end)
        names = _bounds(sections["key_ends"], numbers)
        figures = _bounds(sections["key_numbers"], numbers)
        ones = np.ones(len(numbers), dtype=np.int64)
        return {
            "key_text": (sections["key_text"][ranges(*names)], names[1] - names[0]),
            "key_ends": (names[1] - names[0], ones),
            "key_values": (sizes, ones),
            "key_numbers": (figures[1] - figures[0], ones),
            "val_ends": (_lengths(sections["val_ends"], values), sizes),
            "val_text": (sections["val_text"][ranges(*texts)], texts[1] - texts[0]),
            "val_rows": (_lengths(sections["val_rows"], values), sizes),
            "rows": (self._new_rows[at][sections["rows"][ranges(*rows)]], rows[1] - rows[0]),
            "num_values": (sections["num_values"][ranges(*figures)], figures[1] - figures[0]),
            "num_order": (sections["num_order"][ranges(*figures)], figures[1] - figures[0]),
            "code_width": (np.zeros(len(numbers), dtype=np.uint8), ones),
            "code_starts": (np.zeros(len(numbers), dtype=np.int64), ones),
        }

    def _rows_between(self, at: int, numbers: Indices) -> tuple[Indices, Indices]:
        sections = self._inputs[at]
        return _bounds_at(sections["val_rows"], *_bounds(sections["key_values"], numbers))


def ranges(starts: Indices, ends: Indices) -> Indices:
    """Every index from each start to its end, one range behind the other."""
    lengths = ends - starts
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()), dtype=np.int64)


def _bounds(ends: npt.NDArray[Any], numbers: Indices) -> tuple[Indices, Indices]:
    return _bounds_at(ends, numbers, numbers + 1)


def _bounds_at(ends: npt.NDArray[Any], first: Indices, end: Indices) -> tuple[Indices, Indices]:
    return ends[first].astype(np.int64), ends[end].astype(np.int64)


def _lengths(ends: npt.NDArray[Any], places: Indices) -> Indices:
    first, end = _bounds(ends, places)
    return end - first


def _put(
    out: SectionPieces, name: str, items: npt.NDArray[Any], lengths: Indices, order: npt.NDArray[np.intp]
) -> None:
    """Put `items`, of which each key has so many, behind what is there, the keys in this order."""
    ends = np.cumsum(lengths)
    out.put_many(name, items[ranges((ends - lengths)[order], ends[order])])
