"""Instants as people and programs write them: Unix seconds, or RFC 3339 with a time zone."""

from __future__ import annotations

import argparse
import datetime
import math
import re
from typing import Final

_DATE: Final = r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
_TIME: Final = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(:(?P<second>[0-9]{2})([.,](?P<fraction>[0-9]+))?)?"
_ZONE: Final = r"(?P<zone>z|utc|gmt|(?P<sign>[+-])(?P<hours>[0-9]{2})(:?(?P<minutes>[0-9]{2}))?)"
_RFC_3339: Final = re.compile(rf"{_DATE}([t ]\s*{_TIME}\s*{_ZONE}?)?", re.IGNORECASE)
_DATE_AND_ZONE: Final = re.compile(rf"{_DATE}\s*{_ZONE}", re.IGNORECASE)
_STAMP: Final = re.compile(
    r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})"
    r"T(?P<hour>[0-9]{2})(?P<minute>[0-9]{2})(?P<second>[0-9]{2})(?P<fraction>)?(?P<sign>)?(?P<zone>Z)",
    re.IGNORECASE,
)
"""As backups are called."""
_LAST_S: Final = 253_402_300_799
"""The end of the year 9999."""
_EXAMPLE: Final = "2025-06-01T12:00:00Z"


def parse_instant(text: str) -> int:
    """Microseconds of Unix time; what is finer is cut off. For `type` of an argument: raises ArgumentTypeError."""
    text = text.strip()
    try:
        value_us = _from_seconds(text)
    except ValueError:
        value_us = _from_words(text)
    if not 0 <= value_us <= _LAST_S * 1_000_000:
        raise _outside(text)
    return value_us


def _outside(text: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(
        f"{text} is outside 1970-01-01T00:00:00Z to 9999-12-31T23:59:59Z; write it like {_EXAMPLE}"
    )


def _from_seconds(text: str) -> int:
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not an instant; write it like {_EXAMPLE}")
    return round(value * 1_000_000)


def _from_words(text: str) -> int:
    found = _STAMP.fullmatch(text) or _RFC_3339.fullmatch(text)
    if found is None:
        day = _DATE_AND_ZONE.fullmatch(text)
        if day is not None:
            raise _without_time(day)
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an instant; write Unix seconds, or it like {_EXAMPLE}"
        )
    if found["hour"] is None:
        raise _without_time(found)
    moment = _moment(text, found)
    if found["zone"] is None:
        if moment.timestamp() < 0:
            raise _outside(text)
        raise argparse.ArgumentTypeError(
            f"{text} names no time zone; write {moment.replace(tzinfo=None).isoformat()}Z for UTC"
        )
    leap_s = 1 if found["second"] == "60" else 0
    fraction_us = int(f"{found['fraction'] or '':0<6}"[:6])
    return (int(moment.timestamp()) + leap_s) * 1_000_000 + fraction_us


def _moment(text: str, found: re.Match[str]) -> datetime.datetime:
    """To the whole second; a leap second is the one before it."""
    second = int(found["second"] or 0)
    try:
        return datetime.datetime(
            int(found["year"]),
            int(found["month"]),
            int(found["day"]),
            int(found["hour"]),
            int(found["minute"]),
            59 if second == 60 else second,
            tzinfo=_zone(found),
        )
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(
            f"{text} is not an instant: {error}; write it like {_EXAMPLE}"
        ) from None


def _zone(found: re.Match[str]) -> datetime.timezone:
    if not found["sign"]:
        return datetime.UTC
    hours, minutes = int(found["hours"]), int(found["minutes"] or 0)
    if hours > 23 or minutes > 59:
        raise ValueError(f"the offset has {hours} hours and {minutes} minutes")
    offset = datetime.timedelta(hours=hours, minutes=minutes)
    return datetime.timezone(-offset if found["sign"] == "-" else offset)


def _without_time(found: re.Match[str]) -> argparse.ArgumentTypeError:
    day = f"{found['year']}-{found['month']}-{found['day']}"
    try:
        datetime.date.fromisoformat(day)
    except ValueError as error:
        return argparse.ArgumentTypeError(f"{day} is not a day: {error}; write an instant like {_EXAMPLE}")
    if day < "1970":
        return _outside(day)
    return argparse.ArgumentTypeError(
        f"{day} is a day, not an instant; write {day}T00:00:00Z for its beginning in UTC"
    )
