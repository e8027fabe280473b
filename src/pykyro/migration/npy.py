"""npy: a directory with vectors.npy, float32 of shape (rows, dimension), ids.npy, uint64 of shape (rows,), and
metadata.jsonl, a line a row as {"metadata": {"k": "v"}, "namespace": "n", "tenant": "t"}, values as in jsonl.py.
Where ids are text, a line has the "id" too, and there is no ids.npy.

Files of other programs are read too: vectors of any number type, ids left out, metadata left out, or the one file of
vectors alone. Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html; objects, which are
pickles, are never read.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy_format

from pykyro.migration.directory_documents import PortableDocument
from pykyro.migration.jsonl import details, json_line, objects
from pykyro.migration.rows import BadRow, Row
from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import DIMENSION_MAX

VECTORS: Final = "vectors.npy"
IDS: Final = "ids.npy"
METADATA: Final = "metadata.jsonl"
_FIELDS: Final = ("id", "metadata", "namespace", "tenant", "expires_at")
_BLOCK_ROWS: Final = 1024


def write_part(directory: Path, documents: Iterable[PortableDocument], dimension: int) -> None:
    """A directory of these documents. Raises OSError."""
    directory.mkdir()
    count, has_texts = 0, False
    with (
        (directory / VECTORS).open("wb") as vectors,
        (directory / IDS).open("wb") as ids,
        (directory / METADATA).open("wb") as metadata,
    ):
        _write_header(vectors, "<f4", (0, dimension))
        _write_header(ids, "<u8", (0,))
        for document in documents:
            vectors.write(document.vector.astype("<f4", copy=False).tobytes())
            rest = details(document)
            if isinstance(document.doc_id, str):
                rest = {"id": document.doc_id, **rest}
                has_texts = True
            else:
                ids.write(document.doc_id.to_bytes(8, "little"))
            metadata.write(json_line(rest))
            count += 1
        _write_header(vectors, "<f4", (count, dimension))
        _write_header(ids, "<u8", (count,))
    if has_texts:
        (directory / IDS).unlink()


def _write_header(file: BinaryIO, dtype: str, shape: tuple[int, ...]) -> None:
    """At the beginning of the file; as long for any number of rows, because the format leaves room to grow."""
    file.seek(0)
    npy_format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    file.seek(0, os.SEEK_END)


@dataclass(frozen=True, slots=True)
class NpyReader:
    """Rows of `path`, a directory of the three files or the one file of vectors; without a file of ids they count
    from `first_id`."""

    path: Path
    first_id: int = 1

    def rows(self, start: int) -> Iterator[Row | BadRow]:
        vectors, ids = self._arrays()
        lines = self._metadata(len(vectors), start)
        for begin in range(start, len(vectors), _BLOCK_ROWS):
            end = min(begin + _BLOCK_ROWS, len(vectors))
            # A copy, so that a row kept for a while does not keep the file mapped.
            block, block_ids = np.array(vectors[begin:end]), ids[begin:end]
            for at, (vector, doc_id) in enumerate(zip(block, block_ids), begin + 1):
                found = next(lines)
                if isinstance(found, BadRow):
                    yield found
                else:
                    yield Row(at, found.pop("id", int(doc_id)), vector, **found)
        if next(lines, None) is not None:
            raise InvalidArgument(
                f"{self.path / METADATA} has more lines than the {len(vectors)} rows of {VECTORS}"
            )

    def count(self) -> int:
        """How many rows there are. Raises InvalidArgument, OSError."""
        return len(self._arrays()[0])

    def _arrays(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | range]:
        vectors_path = self.path / VECTORS if self.path.is_dir() else self.path
        vectors = _mapped(vectors_path)
        if vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
            raise InvalidArgument(
                f"{vectors_path} must hold numbers in the shape (rows, dimension), it has {vectors.dtype} in the "
                f"shape {vectors.shape}"
            )
        if not 1 <= vectors.shape[1] <= DIMENSION_MAX:
            raise InvalidArgument(
                f"{vectors_path}: dimension {vectors.shape[1]} is not from 1 to {DIMENSION_MAX}"
            )
        ids_path = self.path / IDS
        if not self.path.is_dir() or not ids_path.exists():
            return vectors, range(self.first_id, self.first_id + len(vectors))
        ids = _mapped(ids_path)
        if ids.shape != vectors.shape[:1] or ids.dtype.kind not in "iu":
            raise InvalidArgument(
                f"{ids_path} must hold {len(vectors)} integers, one a row of {VECTORS}; it has {ids.dtype} in the "
                f"shape {ids.shape}"
            )
        return vectors, ids

    def _metadata(self, rows: int, start: int) -> Iterator[dict[str, Any] | BadRow]:
        path = self.path / METADATA
        if not self.path.is_dir() or not path.exists():
            yield from itertools.repeat({}, rows - start)
            return
        last = start
        for number, found in objects(path, _FIELDS, start):
            yield found
            last = number
        if last < rows:
            raise InvalidArgument(f"{path} ends after {last} lines, {VECTORS} has {rows} rows")


def _mapped(path: Path) -> npt.NDArray[Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:
        # The header is a Python literal, and whatever reading one can raise comes through.
        raise InvalidArgument(f"{path} is not a usable npy file: {error}") from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise InvalidArgument(f"{path} must be an npy file of one array, it is an archive of several")
    return array
