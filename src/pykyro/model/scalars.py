"""The text forms of single values, and what they are read from; and values in words for messages."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from typing import Final

import numpy as np

from pykyro.model.errors import InvalidArgument
from pykyro.model.number import parse_number
from pykyro.system.signal_handlers import raised_by_handler

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**64 - 1
_WHOLE_MAX: Final = 2**53
"""Up to here a float that is whole is that very number, and is written without point or exponent."""
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)", re.ASCII)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z", re.ASCII)


def float_text(value: float | np.floating, field: str) -> str:
    """The shortest text that reads back as the same float, of its width; a whole number up to 2^53 has neither point
    nor exponent. Raises InvalidArgument for NaN."""
    number = float(value)
    if math.isnan(number):
        raise InvalidArgument(f"{field} must not be NaN: leave the entry out, or give None", field=field)
    if abs(number) <= _WHOLE_MAX and number.is_integer():
        return str(int(number)) if number or math.copysign(1.0, number) > 0 else "-0"
    # str of NumPy's own floats, because it is the shortest text that reads back as one of that width.
    return str(value) if isinstance(value, np.floating) else float.__repr__(number)


def require_integer(value: int, field: str) -> int:
    """`value` itself, when it has 64 bits."""
    if not INT_MIN <= value <= INT_MAX:
        raise InvalidArgument(
            f"{field} must be from -2**63 to 2**64 - 1, got a number of {value.bit_length()} bits; give it as "
            "text or as a float",
            field=field,
        )
    return value


def time_text(value: datetime, field: str) -> str:
    """The instant in ISO 8601, UTC. Raises InvalidArgument for a datetime without a zone, which names none."""
    try:
        if value.tzinfo is None or value.utcoffset() is None:
            raise InvalidArgument(
                f"{field} is a datetime without a time zone: say which one is meant, for example "
                "value.replace(tzinfo=timezone.utc)",
                field=field,
            )
        utc = value.astimezone(UTC)
        text = (
            f"{utc.year:04d}-{utc.month:02d}-{utc.day:02d}T{utc.hour:02d}:{utc.minute:02d}:{utc.second:02d}"
        )
        return f"{text}.{utc.microsecond:06d}Z" if utc.microsecond else f"{text}Z"
    except InvalidArgument:
        raise
    except Exception as error:
        if raised_by_handler(error):
            raise
        # What counts as a datetime and is none (pandas.NaT), and instants before year 1 or after 9999.
        raise InvalidArgument(
            f"{field} must be a datetime from year 1 to 9999 in UTC, got {shown(value)}", field=field
        ) from error


def parse_time(text: str) -> datetime:
    """The instant that `time_text` wrote, in UTC. Raises ValueError."""
    if not _TIME.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no time like 2020-01-31T12:00:00Z")
    return datetime.fromisoformat(text)


def parse_integer(text: str) -> int:
    """Raises ValueError for anything but plain digits with a sign where one is needed."""
    if not _INTEGER.fullmatch(text) or text == "-0":
        raise ValueError(f"{text[:40]!r} is no integer")
    return int(text)


def parse_float(text: str) -> float:
    """Raises ValueError for what is no number, or NaN."""
    number = parse_number(text)
    if number is None or math.isnan(number):
        raise ValueError(f"{text[:40]!r} is no number")
    return number


def date_hint(value: object) -> str:
    """What else to give for a date; empty for anything else."""
    if isinstance(value, date):
        return ": give a datetime with a time zone, or value.isoformat() as text"
    return ""


def require_utf8(text: str, field: str) -> str:
    """`text` itself, when UTF-8 can hold it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(
            f"{field} is not text that UTF-8 can hold: character {error.start} is {text[error.start]!r}",
            field=field,
        ) from None
    return text


def shown(value: object) -> str:
    """The value and its type in words for a message, short, whatever the value is."""
    try:
        text = repr(value)
    except Exception as error:
        if raised_by_handler(error):
            raise
        text = f"that cannot be shown ({type(error).__name__})"
    text = " ".join(text.split())
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:60] + '…'}"


def shown_error(error: BaseException) -> str:
    """The class of an error and the first words of its text."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
