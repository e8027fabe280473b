"""Codes of coded rows, as the vector library makes them: see coding.py for what they are codes of.

Rows are padded with zeros to a multiple of 16 components, because the library falls back to scalar code, seven times
slower, for other widths (385 components: 536 us a search against 72 us for 392). Zeros change no inner product and no
distance.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pykyro.index.vector.coding import Code, made_whole
from pykyro.index.vector.library import faiss
from pykyro.model.types import Matrix

WIDTH_MULTIPLE: Final = 16
COMPONENT_MAX: Final = 115.0
"""Largest component of a coded row when a graph is built. 8 bits hold whole numbers up to 127: the rest is room for
rows that join later."""
QUANTIZERS: Final = {
    Code.I8: faiss.ScalarQuantizer.QT_8bit_direct_signed,
    Code.BF16: faiss.ScalarQuantizer.QT_bf16,
}
"""Measured on 8,000 sentence embeddings, at the same recall: a walk takes 50 us with whole numbers of 8 bits,
72 with 8
bits between two bounds, 80 with bounds for each component, 60 with bfloat16 by inner product, 78 by distance."""

Codes = npt.NDArray[np.uint8]
"""Shape (rows, bytes of a code)."""


class Coder:
    """Makes codes of coded rows and rows of codes."""

    def __init__(self, code: Code, dimension: int) -> None:
        self.code = code
        self._dimension = dimension
        self._width = padded_width(dimension)
        self._quantizer: Any = None
        if code is not Code.F32:
            self._quantizer = faiss.ScalarQuantizer(self._width, QUANTIZERS[code])

    def encode(self, rows: Matrix) -> Codes:
        """Codes of coded rows of shape (n, dimension)."""
        wide = padded(rows, self._width)
        if self._quantizer is None:
            return wide.view(np.uint8).reshape(len(rows), -1)
        if self.code is Code.I8:
            wide = made_whole(wide.copy())
        return np.asarray(self._quantizer.compute_codes(wide), np.uint8)

    def decode(self, codes: Codes) -> Matrix:
        """The rows that codes stand for, shape (n, dimension)."""
        if self._quantizer is None:
            return codes.view(np.float32)[:, : self._dimension]
        return np.asarray(self._quantizer.decode(codes), np.float32)[:, : self._dimension]


def padded_width(dimension: int) -> int:
    return -(-dimension // WIDTH_MULTIPLE) * WIDTH_MULTIPLE


def padded(rows: Matrix, width: int) -> Matrix:
    """Rows of shape (n, dimension) with zeros behind, contiguous."""
    if rows.shape[1] == width:
        return np.ascontiguousarray(rows)
    wide = np.zeros((len(rows), width), np.float32)  # np.pad takes ten times as long
    wide[:, : rows.shape[1]] = rows
    return wide
