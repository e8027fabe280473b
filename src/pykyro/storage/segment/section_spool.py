"""Arrays that grow piece by piece, several at a time, in one file beside the segment they are for.

A section file is written one section after the other. Who makes many sections at once puts their pieces here and
copies them afterwards, so that none of them is in memory whole. The file is scratch: nothing is synced, and it goes
when the spool is closed, or at the next start like every temporary file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem, write_all
from pykyro.storage.segment.section_file import SectionWriter

_ALIGNMENT: Final = 64
_EXTENT_BYTES_MIN: Final = 64 << 10
"""Smaller pieces of an array wait in memory for others, so that a million of them are a few thousand in the file."""
_CHUNK_ITEMS: Final = 1 << 20


class SectionSpool:
    """Named arrays of one dimension. As a context its file is removed at the end. Every method raises OSError."""

    def __init__(self, filesystem: FileSystem, directory: Path, number: int) -> None:
        """A spool for segment `number`, which may have one at a time."""
        self._filesystem = filesystem
        self._path = directory / filename.temporary(filename.segment_spool(number))
        self._file = filesystem.create(self._path)
        self._size = 0
        self._dtypes: dict[str, np.dtype[Any]] = {}
        self._extents: dict[str, list[tuple[int, int]]] = {}
        """By array, where its pieces start and how many items they have."""
        self._waiting: dict[str, bytearray] = {}

    def append(self, name: str, piece: npt.NDArray[Any]) -> None:
        """Put a piece behind what the array of this name has. Raises ValueError for one of another type."""
        dtype = self._dtypes.setdefault(name, piece.dtype)
        if piece.dtype != dtype:
            raise ValueError(f"a piece of {piece.dtype} for {name}, which holds {dtype}")
        self._extents.setdefault(name, [])
        waiting = self._waiting.setdefault(name, bytearray())
        if not waiting and piece.nbytes >= _EXTENT_BYTES_MIN:
            self._put_extent(name, piece)
            return
        waiting += np.ascontiguousarray(piece).view(np.uint8).data
        if len(waiting) >= _EXTENT_BYTES_MIN:
            self._put_waiting(name)

    def store(self, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Put whole arrays away, which are none of the named ones; what is returned is mapped."""
        starts = {name: self._put(array) for name, array in arrays.items() if array.size}
        data = self._filesystem.map(self._path) if starts else memoryview(b"")
        return {
            name: np.frombuffer(data, dtype=array.dtype, count=array.size, offset=starts[name])
            if array.size
            else array
            for name, array in arrays.items()
        }

    def copy_to(self, writer: SectionWriter, prefix: str = "") -> None:
        """Write every named array as a section, its name behind `prefix`."""
        for name in self._waiting:
            self._put_waiting(name)
        data = self._filesystem.map(self._path) if self._size else memoryview(b"")
        for name, extents in self._extents.items():
            count, dtype = sum(items for _, items in extents), self._dtypes[name]
            writer.add_chunks(prefix + name, _chunks(data, extents, dtype), shape=(count,), dtype=dtype)

    def close(self) -> None:
        """Remove the file, as far as the disk lets us; what is mapped stays readable."""
        self._file.close()
        with contextlib.suppress(OSError):
            self._filesystem.remove(self._path)

    def _put_waiting(self, name: str) -> None:
        waiting = self._waiting[name]
        if waiting:
            self._waiting[name] = bytearray()
            self._put_extent(name, np.frombuffer(waiting, dtype=self._dtypes[name]))

    def _put_extent(self, name: str, piece: npt.NDArray[Any]) -> None:
        self._extents[name].append((self._put(piece), piece.size))

    def _put(self, array: npt.NDArray[Any]) -> int:
        """Append an array to the file; where it starts."""
        padding = bytes(-self._size % _ALIGNMENT)
        if padding:
            write_all(self._file, padding)
        start = self._size + len(padding)
        write_all(self._file, np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        self._size = start + array.nbytes
        return start

    def __enter__(self) -> SectionSpool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _chunks(
    data: memoryview, extents: list[tuple[int, int]], dtype: np.dtype[Any]
) -> Iterator[npt.NDArray[Any]]:
    for start, items in extents:
        for done in range(0, items, _CHUNK_ITEMS):
            count = min(_CHUNK_ITEMS, items - done)
            yield np.frombuffer(data, dtype=dtype, count=count, offset=start + done * dtype.itemsize)
