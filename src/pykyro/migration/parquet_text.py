"""The metadata value of a value of a Parquet column: integers, floats and bools are that, others texts.

The shortest that reads back as a value of the column's own type, so a float32 of 0.1 is "0.1" and not the digits that
its nearest float64 has; and so that text in order is time in order for the columns that hold times.

| type                | text                                                                          |
|---------------------|-------------------------------------------------------------------------------|
| string              | itself                                                                        |
| int, float          | a number                                                                      |
| decimal             | whole ones without a point                                                    |
| bool                | a bool                                                                        |
| date                | 2026-11-29                                                                    |
| time                | 12:30:00, 12:30:00.5                                                          |
| timestamp           | 2026-11-29T12:30:00.5; with a time zone the same instant in UTC, with +00:00  |
| dictionary          | as its values                                                                 |
| null                | no entry                                                                      |
"""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from typing import Any, Final

import numpy as np

from pykyro.model.errors import InvalidArgument

import pyarrow as pa  # isort: skip

_PER_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_DAY_MS: Final = 86_400_000
_EPOCH: Final = datetime.datetime(1970, 1, 1)
_FLOATS: Final = {16: np.float16, 32: np.float32, 64: np.float64}


def metadata_value(scalar: Any, field: str) -> object:
    """The metadata entry `field` for this value: text, a number or a bool; None for none.

    Raises InvalidArgument naming the column for a type without a text.
    """
    if not scalar.is_valid:
        return None
    kind = scalar.type
    if pa.types.is_dictionary(kind):
        return metadata_value(scalar.value, field)
    if pa.types.is_floating(kind):
        return _FLOATS[kind.bit_width](scalar.as_py())
    if pa.types.is_boolean(kind):
        return bool(scalar.as_py())
    if pa.types.is_decimal(kind):
        return _decimal(scalar.as_py())
    if pa.types.is_date(kind):
        days = scalar.value // (_DAY_MS if pa.types.is_date64(kind) else 1)
        return _instant(days * 86_400, field).date().isoformat()
    if pa.types.is_time(kind):
        whole, text = _split(scalar.value, kind.unit)
        return _instant(whole, field).time().isoformat() + text
    if pa.types.is_timestamp(kind):
        whole, text = _split(scalar.value, kind.unit)
        return _instant(whole, field).isoformat() + text + ("" if kind.tz is None else "+00:00")
    if pa.types.is_integer(kind) or is_text(kind):
        return scalar.as_py()
    raise InvalidArgument(
        f"column {field!r} is of type {_as_written(kind)}, which cannot become metadata here. "
        f"Convert the column to text, or leave it out",
        field=field,
    )


def _as_written(kind: Any) -> str:
    """The type as the file names it: texts are read as numbers of a dictionary, whatever they are there."""
    return re.sub(r"dictionary<values=(\w+), indices=\w+, ordered=\d>", r"\1", str(kind))


def is_text(kind: Any) -> bool:
    """Whether values of this type are texts as they are."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _decimal(value: Decimal) -> str:
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _split(value: int, unit: str) -> tuple[int, str]:
    """Whole seconds, and the fraction as ".5"; "" when nothing is."""
    per_second = _PER_SECOND[unit]
    whole, rest = divmod(value, per_second)
    digits = str(rest).zfill(len(str(per_second)) - 1).rstrip("0") if rest else ""
    return whole, f".{digits}" if digits else ""


def _instant(seconds: int, field: str) -> datetime.datetime:
    try:
        return _EPOCH + datetime.timedelta(seconds=seconds)
    except OverflowError:
        raise InvalidArgument(
            f"column {field!r} holds a time {seconds} s from 1970; only times of the years 1 to 9999 can be stored",
            field=field,
        ) from None
