"""Codes of coded rows, as the vector library makes them: see coding.py for what they are codes of.

Rows are padded with zeros to a multiple of 16 components, because the library falls back to scalar code, seven times
slower, for other widths (385 components: 536 us a search against 72 us for 392). Zeros change no inner product and no
distance.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kyrodb.index.coding import Code
from kyrodb.index.library import faiss
from kyrodb.types import Matrix

WIDTH_MULTIPLE: Final = 16
_QUANTIZERS: Final = {Code.I8: faiss.ScalarQuantizer.QT_8bit, Code.BF16: faiss.ScalarQuantizer.QT_bf16}

Codes = npt.NDArray[np.uint8]
"""Shape (rows, bytes of a code)."""


class Coder:
    """Makes codes of rows and rows of codes."""

    def __init__(self, code: Code, width: int, quantizer: Any) -> None:
        """`quantizer` is the library's, trained, for rows of a padded `width`; None for float32."""
        self.code = code
        self.width = width
        self._quantizer = quantizer

    def encode(self, rows: Matrix) -> Codes:
        """Codes of coded rows of shape (n, dimension)."""
        wide = padded(rows, self.width)
        if self._quantizer is None:
            return wide.view(np.uint8).reshape(len(rows), -1)
        return np.asarray(self._quantizer.compute_codes(wide), np.uint8)

    def decode(self, codes: Codes, dimension: int) -> Matrix:
        """The rows that codes stand for, shape (n, dimension)."""
        if self._quantizer is None:
            return codes.view(np.float32)[:, :dimension]
        return np.asarray(self._quantizer.decode(codes), np.float32)[:, :dimension]


def coder(code: Code, bounds: Matrix) -> Coder:
    """A coder for coded rows whose components lie between `bounds`, shape (2, dimension)."""
    width = padded_width(bounds.shape[1])
    if code is Code.F32:
        return Coder(code, width, None)
    quantizer = faiss.ScalarQuantizer(width, _QUANTIZERS[code])
    quantizer.train(padded(bounds, width))
    return Coder(code, width, quantizer)


def padded_width(dimension: int) -> int:
    return -(-dimension // WIDTH_MULTIPLE) * WIDTH_MULTIPLE


def padded(rows: Matrix, width: int) -> Matrix:
    """Rows of shape (n, dimension) with zeros behind, contiguous."""
    if rows.shape[1] == width:
        return np.ascontiguousarray(rows)
    wide = np.zeros((len(rows), width), np.float32)  # np.pad takes ten times as long
    wide[:, : rows.shape[1]] = rows
    return wide
