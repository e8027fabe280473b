"""When a document goes by itself.

The instant stands in the document's own metadata, under a reserved key, in microseconds since the Unix epoch. All
have the same number of digits, so their order as texts is their order in time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

import numpy as np

from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import EXPIRES_AT_US_MAX, TTL_US_MAX
from pykyro.model.metadata_wire import encode_metadata
from pykyro.model.scalars import shown
from pykyro.model.types import EXPIRES_AT_KEY

ExpiresAt: TypeAlias = datetime | float
"""An instant: a datetime with a zone, or seconds since the Unix epoch. math.inf is never."""
Ttl: TypeAlias = timedelta | float
"""A time to live: a timedelta, or seconds. math.inf is for ever."""

NEVER_US: Final = 1 << 62
"""Later than every instant."""
_DIGITS: Final = len(str(EXPIRES_AT_US_MAX))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ENTRY_HEAD: Final = encode_metadata({EXPIRES_AT_KEY: "0" * _DIGITS})[:-_DIGITS]
_INSTANT: Final = slice(len(_ENTRY_HEAD), len(_ENTRY_HEAD) + _DIGITS)


@dataclass(frozen=True, slots=True)
class Expiry:
    """What a caller says about the end of a document: the instant, or the time from the write on. One of the two is
    0, and where both are, the document never goes."""

    at_us: int = 0
    ttl_us: int = 0

    def entries(self, now_us: int) -> dict[str, str]:
        """What stands in the metadata of a document that is written now; nothing when it never goes."""
        instant_us = self.at_us or (min(now_us + self.ttl_us, EXPIRES_AT_US_MAX) if self.ttl_us else 0)
        return {EXPIRES_AT_KEY: f"{instant_us:0{_DIGITS}d}"} if instant_us else {}


NEVER: Final = Expiry()


def instant_us_of(metadata: Mapping[str, str]) -> int:
    """When a document with this stored metadata goes; NEVER_US when it does not."""
    text = metadata.get(EXPIRES_AT_KEY, "")
    # Nothing else was ever written there, but by clients of earlier versions.
    return int(text) if len(text) == _DIGITS and text.isascii() and text.isdecimal() else NEVER_US


def instant_us_in(reserved: bytes) -> int:
    """The same, of reserved entries in wire form: its key comes before all other reserved ones."""
    return int(reserved[_INSTANT]) if reserved.startswith(_ENTRY_HEAD) else NEVER_US


def checked_expiry(expires_at: object = None, ttl: object = None) -> Expiry | None:
    """What a caller says by these two arguments; None when both are None. Raises InvalidArgument."""
    if expires_at is None and ttl is None:
        return None
    if expires_at is not None and ttl is not None:
        raise InvalidArgument("expires_at and ttl cannot both be given", field="ttl")
    if ttl is not None:
        return _of_ttl(ttl)
    if isinstance(expires_at, datetime):
        if expires_at.tzinfo is None:
            raise InvalidArgument(
                f"expires_at must have a time zone, got {expires_at.isoformat()}: which instant that is depends on "
                "where it is read",
                field="expires_at",
            )
        return checked_instant((expires_at - _EPOCH) // timedelta(microseconds=1))
    seconds = _seconds(expires_at, "expires_at", "a datetime or seconds since the epoch")
    return NEVER if seconds == math.inf else checked_instant(_microseconds(seconds))


def checked_instant(instant_us: int) -> Expiry:
    """That a document goes at `instant_us`, which may be past. Raises InvalidArgument."""
    if not 0 < instant_us <= EXPIRES_AT_US_MAX:
        raise InvalidArgument(
            f"expires_at must be > 0 and <= {EXPIRES_AT_US_MAX} microseconds since the epoch (the year 2255), got "
            f"{instant_us}",
            field="expires_at",
        )
    return Expiry(at_us=instant_us)


def checked_ttl(ttl_us: int) -> Expiry:
    """That a document goes `ttl_us` after it is written. Raises InvalidArgument."""
    if not 0 < ttl_us <= TTL_US_MAX:
        raise InvalidArgument(
            f"ttl must be > 0 and <= {TTL_US_MAX // 1_000_000} seconds, got {ttl_us / 1e6:.12g}", field="ttl"
        )
    return Expiry(ttl_us=ttl_us)


def checked_default_ttl(ttl: object) -> int:
    """The time to live that a collection gives its documents, in microseconds; 0 for None and math.inf. Raises
    InvalidArgument."""
    return 0 if ttl is None else _of_ttl(ttl, "default_ttl").ttl_us


def as_datetime(instant_us: int) -> datetime | None:
    """The instant, in UTC; None for 0."""
    return _EPOCH + timedelta(microseconds=instant_us) if instant_us else None


def _of_ttl(ttl: object, field: str = "ttl") -> Expiry:
    if isinstance(ttl, timedelta):
        microseconds = ttl // timedelta(microseconds=1)
    else:
        seconds = _seconds(ttl, field, "a timedelta or seconds")
        if seconds == math.inf:
            return NEVER
        microseconds = _microseconds(seconds)
    try:
        return checked_ttl(microseconds)
    except InvalidArgument as fault:
        raise InvalidArgument(str(fault).replace("ttl", field, 1), field=field) from None


def _seconds(value: object, field: str, wanted: str) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InvalidArgument(f"{field} must be {wanted}, got {shown(value)}", field=field)
    if value != value:
        raise InvalidArgument(f"{field} must be {wanted}, got NaN", field=field)
    # An int of any size stays exact.
    return int(value) if isinstance(value, (int, np.integer)) else float(value)


def _microseconds(seconds: float) -> int:
    if isinstance(seconds, int):
        return seconds * 1_000_000
    return -1 if seconds == -math.inf else round(seconds * 1e6)
