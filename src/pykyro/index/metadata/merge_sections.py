"""The metadata sections of a segment from those of others, value by value: what is in memory does not grow with what
is merged.

Keys and values are sorted in every input, so one pass over all of them at once finds equal ones together. Pieces of
every section are handed out as they come; whoever takes them puts them behind each other. In memory are one piece of
each section, four bytes a row for the codes of one key, and four bytes a number for the order of one key's numbers.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isnan
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from pykyro.index.metadata.merge_small_keys import MANY_KEYS, Key, SmallKeys, keys_of
from pykyro.index.metadata.section_pieces import KeyPieces, SectionPieces
from pykyro.index.metadata.sections import Sections, SectionsBuilder, check_rows

Append: TypeAlias = Callable[[str, npt.NDArray[Any]], None]
"""Takes the name of a section and its next piece."""

GONE: Final = np.iinfo(np.uint32).max
"""In `new_rows`: the row is left out."""
_FEW_KEYS: Final = 32
_PIECE_BYTES: Final = 4 << 20
_LAID_OUT_SHARE: Final = 3
"""A piece of rows may take a third of the memory: laying it out takes as much again, and some is lost."""


@dataclass(frozen=True, slots=True)
class MergePart:
    """The sections of one segment, which may be mapped, and the new number of each of its rows, or GONE.

    New numbers ascend with the old ones.
    """

    sections: Mapping[str, npt.NDArray[Any]]
    new_rows: npt.NDArray[np.uint32]


def merge_sections(
    parts: Sequence[MergePart], rows: int, append: Append, piece_bytes: int = _PIECE_BYTES
) -> None:
    """Hand out the sections of a segment of `rows` rows, equal to what build_sections makes of them.

    New row numbers of a part are larger than those of the parts before. Every section is handed out, an empty one as
    an empty piece. Raises ValueError for too many rows.
    """
    check_rows(rows)
    out = SectionPieces(rows, append, piece_bytes)
    opened = [_SourcePart(part) for part in parts]
    small = SmallKeys([part.sections for part in parts], [part.new_rows for part in parts], GONE)
    waiting: list[Key] = []
    keys = heapq.merge(*(keys_of(part.sections, at) for at, part in enumerate(parts)))
    for key, carriers in groupby(keys, key=itemgetter(0)):
        first, *others = carriers
        is_small = first[-1] and not others
        if not is_small or len(waiting) == MANY_KEYS:
            _copy_small(out, small, waiting, opened)
            waiting = []
        if is_small:
            waiting.append(first)
        else:
            _merge_key(out, key, [(opened[at], number) for _, at, number, _ in (first, *others)])
    _copy_small(out, small, waiting, opened)
    out.finish()


def stream_sections(
    metadata: Iterable[Mapping[str, str]],
    rows: int,
    append: Append,
    store: Callable[[Sections], Sections],
    memory_bytes: int,
) -> None:
    """Hand out what build_sections makes of the metadata of `rows` rows, in about so much memory.

    `store` puts sections away and gives them back mapped; it is called when memory is used up. Raises ValueError as
    build_sections does.
    """
    check_rows(rows)
    builder, parts, done = SectionsBuilder(), list[MergePart](), 0
    for entries in metadata:
        builder.add(entries)
        if builder.size_bytes > memory_bytes // _LAID_OUT_SHARE:
            end = done + builder.rows
            parts.append(MergePart(store(builder.finish()), np.arange(done, end, dtype=np.uint32)))
            done = end
    if done + builder.rows != rows:
        raise ValueError(f"metadata of {done + builder.rows} rows for a segment of {rows}")
    if not parts:
        for name, section in builder.finish().items():
            append(name, section)
        return
    if builder.rows:
        parts.append(MergePart(store(builder.finish()), np.arange(done, rows, dtype=np.uint32)))
    merge_sections(parts, rows, append)


class _Value(NamedTuple):
    """A value of one input. Values that sort alike and have the same text are one."""

    is_nan: bool
    number: float
    text: bytes
    at: int
    """The input, which keeps equal values in the order of their rows."""
    place: int
    """Of the value, through all keys of the input."""


class _SourcePart:
    """An input, with what is read often at hand."""

    def __init__(self, part: MergePart) -> None:
        sections = {name: np.asarray(section) for name, section in part.sections.items()}
        self._views = {name: np.ascontiguousarray(section).data for name, section in sections.items()}
        self._rows: npt.NDArray[np.uint32] = sections["rows"]
        self._new_rows = part.new_rows
        self._new_row = np.ascontiguousarray(part.new_rows).data
        self.num_order: npt.NDArray[np.uint32] = sections["num_order"]

    def values(self, number: int) -> tuple[int, int, int, int]:
        """First value of a key, its first number, the value behind the last, and the key's first entry in
        num_values."""
        key_values, key_numbers = self._views["key_values"], self._views["key_numbers"]
        first, end = key_values[number], key_values[number + 1]
        numbers = key_numbers[number + 1] - key_numbers[number]
        return first, end - numbers, end, key_numbers[number]

    def carriers(self, number: int) -> int:
        first, _, end, _ = self.values(number)
        return int(self._views["val_rows"][end] - self._views["val_rows"][first])

    def text(self, place: int) -> bytes:
        return self._between("val_ends", "val_text", place)

    def texts(self, at: int, number: int) -> Iterator[_Value]:
        first, numbers, _, _ = self.values(number)
        for place in range(first, numbers):
            yield _Value(False, 0.0, self.text(place), at, place)

    def numbers(self, at: int, number: int) -> Iterator[_Value]:
        _, first, end, entry = self.values(number)
        num_values = self._views["num_values"]
        for place in range(first, end):
            value = num_values[entry + place - first]
            nan = isnan(value)
            yield _Value(nan, 0.0 if nan else value, self.text(place), at, place)

    def number_at(self, number: int, place: int) -> float:
        _, first, _, entry = self.values(number)
        return float(self._views["num_values"][entry + place - first])

    def new_rows(self, place: int) -> npt.NDArray[np.uint32] | int | None:
        """The new numbers of the rows with a value; one alone as a number, None when there is none."""
        start, end = self._views["val_rows"][place], self._views["val_rows"][place + 1]
        if end - start == 1:
            row = self._new_row[self._views["rows"][start]]
            return None if row == GONE else int(row)
        rows = self._new_rows[self._rows[start:end]]
        kept = rows[rows != GONE]
        return kept if len(kept) else None

    def _between(self, ends: str, text: str, number: int) -> bytes:
        bounds = self._views[ends]
        return bytes(self._views[text][bounds[number] : bounds[number + 1]])


def _copy_small(out: SectionPieces, small: SmallKeys, keys: list[Key], opened: list[_SourcePart]) -> None:
    """Keys of one input each. Many at once pay off from a few on."""
    if len(keys) > _FEW_KEYS and small.copy(out, [(at, number) for _, at, number, _ in keys]):
        return
    for key, at, number, _ in keys:
        _copy_key(out, key, opened[at], number)


def _merge_key(out: SectionPieces, key: bytes, carriers: list[tuple[_SourcePart, int]]) -> None:
    if len(carriers) == 1:
        _copy_key(out, key, *carriers[0])
        return
    pieces = out.key(key, sum(part.carriers(number) for part, number in carriers))
    _merge_values(pieces, carriers, [part.texts(at, number) for at, (part, number) in enumerate(carriers)])
    new_number = _merge_numbers(pieces, carriers)
    order = heapq.merge(
        *(_by_text(part, number, places) for (part, number), places in zip(carriers, new_number, strict=True))
    )
    pieces.finish(place for place, _ in groupby(map(itemgetter(1), order)))


def _copy_key(out: SectionPieces, key: bytes, part: _SourcePart, number: int) -> None:
    """A key of one input alone, as most are where documents have their own: its values are in order as they are."""
    first, numbers, end, entry = part.values(number)
    pieces = out.key(key, part.carriers(number))
    for place in range(first, numbers):
        if (rows := part.new_rows(place)) is not None:
            pieces.add(part.text(place), (rows,))
    new_number: dict[int, int] = {}
    for place in range(numbers, end):
        if (rows := part.new_rows(place)) is not None:
            new_number[place - numbers] = pieces.add_number(part.number_at(number, place))
            pieces.add(part.text(place), (rows,))
    order = part.num_order[entry : entry + end - numbers].tolist() if new_number else ()
    pieces.finish(new_number[old] for old in order if old in new_number)


def _merge_values(
    pieces: KeyPieces,
    carriers: list[tuple[_SourcePart, int]],
    streams: list[Iterator[_Value]],
    kept: Callable[[list[_Value]], None] = lambda same: None,
) -> None:
    for (_, _, text), equal in groupby(heapq.merge(*streams), key=itemgetter(0, 1, 2)):
        same = list(equal)
        found = [rows for value in same if (rows := carriers[value.at][0].new_rows(value.place)) is not None]
        if found:
            kept(same)
            pieces.add(text, found)


def _merge_numbers(
    pieces: KeyPieces, carriers: list[tuple[_SourcePart, int]]
) -> list[npt.NDArray[np.uint32]]:
    """Put the numbers of a key out; for each input, where each of its numbers stands among them, or GONE."""
    bounds = [part.values(number) for part, number in carriers]
    new_number = [np.full(end - first, GONE, dtype=np.uint32) for _, first, end, _ in bounds]

    def kept(same: list[_Value]) -> None:
        part, number = carriers[same[0].at]
        here = pieces.add_number(part.number_at(number, same[0].place))
        for value in same:
            new_number[value.at][value.place - bounds[value.at][1]] = here

    streams = [part.numbers(at, number) for at, (part, number) in enumerate(carriers)]
    _merge_values(pieces, carriers, streams, kept)
    return new_number


def _by_text(
    part: _SourcePart, number: int, new_number: npt.NDArray[np.uint32]
) -> Iterator[tuple[bytes, int]]:
    """The numbers of one input that are kept, by their bytes: text, and where it stands among all."""
    _, first, end, entry = part.values(number)
    for old in part.num_order[entry : entry + end - first]:
        if new_number[old] != GONE:
            yield part.text(first + int(old)), int(new_number[old])
