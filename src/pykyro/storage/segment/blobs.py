"""Byte strings of many rows behind each other, piece by piece: what is in memory does not grow with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pykyro.model.types import BytesLike, Rows

_PIECE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Blobs:
    """The length of each row's bytes, and the bytes of all rows in pieces, which are gone through once."""

    lengths: npt.NDArray[np.uint64]
    pieces: Iterable[npt.NDArray[np.uint8]]


def blobs_of(lengths: Iterable[int], count: int, blobs: Iterable[bytes]) -> Blobs:
    """Blobs that are in memory one by one; `lengths` has those of the `count` rows."""
    return Blobs(np.fromiter(lengths, np.uint64, count), _joined(blobs))


def blobs_at(offsets: npt.NDArray[Any], data: npt.NDArray[np.uint8], rows: Rows) -> Blobs:
    """The blobs of these rows, ascending, out of those that a file has; blob i lies between offsets i and i + 1."""
    starts, ends = offsets[rows], offsets[rows + 1]
    return Blobs((ends - starts).astype(np.uint64), _joined(_runs(data, starts, ends)))


def one_after_another(parts: Sequence[Blobs]) -> Blobs:
    """The blobs of all parts."""
    return Blobs(np.concatenate([part.lengths for part in parts]), chain(*(part.pieces for part in parts)))


def _runs(
    data: npt.NDArray[np.uint8], starts: npt.NDArray[Any], ends: npt.NDArray[Any]
) -> Iterator[memoryview]:
    """The bytes between these offsets; those of rows that follow each other together."""
    if not len(starts):
        return
    breaks = np.flatnonzero(starts[1:] != ends[:-1])
    firsts = np.concatenate([starts[:1], starts[1:][breaks]]).tolist()
    lasts = np.concatenate([ends[:-1][breaks], ends[-1:]]).tolist()
    for first, last in zip(firsts, lasts, strict=True):
        for at in range(first, last, _PIECE_BYTES):
            yield data[at : min(at + _PIECE_BYTES, last)].data


def _joined(blobs: Iterable[BytesLike]) -> Iterator[npt.NDArray[np.uint8]]:
    """The same bytes in pieces of some size: each piece is a call of the system."""
    gathered: list[BytesLike] = []
    size = 0
    for blob in blobs:
        gathered.append(blob)
        size += len(blob)
        if size >= _PIECE_BYTES:
            yield np.frombuffer(b"".join(gathered), dtype=np.uint8)
            gathered, size = [], 0
    if size:
        yield np.frombuffer(b"".join(gathered), dtype=np.uint8)
