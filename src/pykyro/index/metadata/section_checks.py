"""Whether the arrays of a metadata index fit together, so that no search can run out of them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pykyro.index.metadata.sections import CODE_DTYPES, DTYPES, Sections, dense_from, utf8
from pykyro.index.metadata.typed_columns import TYPED

_TYPED: Final = utf8(TYPED)


def checked_sections(sections: Mapping[str, npt.NDArray[Any]], rows: int) -> Sections:
    """The arrays as plain ndarrays, contiguous and aligned, mapped ones still mapped.

    Raises ValueError naming the array that is missing, of another type or at odds with another. Reads every
    array once, about 1 ms for each million values.
    """
    plain: Sections = {}
    for name, dtype in DTYPES.items():
        found = sections.get(name)
        if found is None or found.dtype != dtype or found.ndim != 1:
            shape = None if found is None else (found.dtype.name, found.ndim)
            raise ValueError(
                f"metadata section {name} must be 1-dimensional {np.dtype(dtype).name}, found {shape}"
            )
        plain[name] = np.require(found, requirements=["C", "A"]).view(np.ndarray)
    keys = len(plain["code_width"])
    _check_ends(plain, "key_ends", keys, len(plain["key_text"]))
    _check_ends(plain, "key_values", keys, len(plain["val_ends"]) - 1)
    _check_ends(plain, "key_numbers", keys, len(plain["num_values"]))
    _check_ends(plain, "val_ends", len(plain["val_ends"]) - 1, len(plain["val_text"]))
    _check_ends(plain, "val_rows", len(plain["val_ends"]) - 1, len(plain["rows"]))
    if len(plain["rows"]) and int(plain["rows"].max()) >= rows:
        raise ValueError(f"metadata section rows has row {plain['rows'].max()} of {rows}")
    _check_numbers(plain)
    _check_codes(plain, rows)
    return plain


def _check_ends(sections: Sections, name: str, count: int, end: int) -> None:
    """`count` parts follow one another and fill what they divide."""
    ends = sections[name]
    if len(ends) != count + 1 or ends[0] != 0 or ends[-1] != end or bool((ends[1:] < ends[:-1]).any()):
        raise ValueError(f"metadata section {name} does not divide {end} entries into {count} parts")


def _check_numbers(sections: Sections) -> None:
    value_ends, number_ends = (sections[name].view(np.int64) for name in ("key_values", "key_numbers"))
    values, numbers = value_ends[1:] - value_ends[:-1], number_ends[1:] - number_ends[:-1]
    if bool((numbers > values).any()):
        raise ValueError(
            "metadata section key_numbers gives a key more numbers than key_values gives it values"
        )
    order = sections["num_order"]
    if len(order) != len(sections["num_values"]) or bool((order >= np.repeat(numbers, numbers)).any()):
        raise ValueError("metadata section num_order is no order of num_values")


def _typed_keys(sections: Sections) -> npt.NDArray[np.bool_]:
    """Which keys are typed columns: they are one run, because keys are in order."""
    ends, text = sections["key_ends"].data, sections["key_text"].data
    keys = range(len(sections["code_width"]))

    def start(key: int) -> bytes:
        return bytes(text[ends[key] : ends[key + 1]])[: len(_TYPED)]

    marks = np.zeros(len(keys), dtype=np.bool_)
    marks[bisect_left(keys, _TYPED, key=start) : bisect_right(keys, _TYPED, key=start)] = True
    return marks


def _check_codes(sections: Sections, rows: int) -> None:
    widths, starts, codes = sections["code_width"], sections["code_starts"], sections["codes"]
    values = sections["key_values"].view(np.int64)
    ends = sections["val_rows"].view(np.int64)
    if len(starts) != len(widths):
        raise ValueError(f"metadata section code_starts has {len(starts)} entries for {len(widths)} keys")
    carriers = ends[values[1:]] - ends[values[:-1]]
    # The rows of a typed column may have several values each, and then it has no codes.
    several = _typed_keys(sections) & (widths == 0)
    misfit = ((carriers > dense_from(rows)) != (widths > 0)) | (carriers > rows)
    if bool((misfit & ~several).any()):
        raise ValueError("metadata section code_width does not fit the number of rows with each key")
    for key in np.flatnonzero(widths).tolist():
        width, start = int(widths[key]), int(starts[key])
        size = int(values[key + 1] - values[key])
        if width not in CODE_DTYPES or start % 8 or start + rows * width > len(codes):
            raise ValueError(f"metadata section codes has no {rows} codes of {width} bytes at byte {start}")
        if int(codes[start : start + rows * width].view(CODE_DTYPES[width]).max()) > size:
            raise ValueError(f"metadata section codes names a value beyond the {size} of key {key}")
        if size > np.iinfo(CODE_DTYPES[width]).max:
            raise ValueError(f"metadata section code_width: {width} bytes cannot number {size} values")
