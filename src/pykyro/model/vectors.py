"""From whatever a program calls a vector to float32 components that nobody else can change."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from pykyro.model.errors import InvalidArgument
from pykyro.model.filter_dict import shown_error
from pykyro.model.types import Vector
from pykyro.system.signal_handlers import raised_by_handler

VectorLike: TypeAlias = npt.ArrayLike
"""Whatever NumPy makes a one-dimensional array of numbers of; it becomes float32."""

_FLOAT32: Final = np.dtype(np.float32)


def copied_vector(value: VectorLike, field: str) -> Vector:
    """`value` as float32, contiguous, shape (n,), in memory of its own.

    Always a copy, also of what is float32 already: programs that read frames or files fill one buffer again and
    again, and what is checked must be what is stored. Raises InvalidArgument for what is no row of numbers, with
    what the value itself raised, if it did, as the cause.
    """
    try:
        # Any array, because a plain one would have lost its mask.
        array = np.asanyarray(value)
    except Exception as error:
        if raised_by_handler(error):
            raise
        # Whatever an object's own __array__ raises comes through here.
        raise InvalidArgument(
            f"{field} must be an array of numbers; reading it failed with {shown_error(error)}", field=field
        ) from error
    if type(array) is not np.ndarray:
        _require_no_mask(array, field)
    # An empty list has no numbers to tell its type by; check_vector has the right words for it.
    if array.dtype.kind not in "fiu" and array.size:
        raise InvalidArgument(f"{field} must be an array of numbers, got dtype {array.dtype}", field=field)
    if array.ndim != 1:
        raise InvalidArgument(f"{field} must have one dimension, got shape {array.shape}", field=field)
    if array.dtype == _FLOAT32:
        return np.array(array, np.float32, order="C")
    # What float32 cannot hold becomes infinite, and is refused as such.
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array(array, np.float32, order="C")


def _require_no_mask(array: npt.NDArray[Any], field: str) -> None:
    """A masked value has no number: the one below the mask is left over from something else."""
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        count = int(np.ma.getmaskarray(array).sum())
        raise InvalidArgument(
            f"{field} has {count} masked values of {array.size}: give it filled(), or leave the document out",
            field=field,
        )
