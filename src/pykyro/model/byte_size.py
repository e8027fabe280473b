"""Sizes as people write them: 2GiB."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"": 1, "B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
_SIZE: Final = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,3}))?\s*([A-Za-z]*)", re.ASCII)


def parse_bytes(text: str) -> int:
    """The number of bytes that text like 2GiB, 512 MiB, 1.5gib or 1073741824 states. Raises ValueError."""
    found = _SIZE.fullmatch(text.strip())
    unit = _UNITS.get(found[3].upper()) if found else None
    if found is None or unit is None or (found[2] and unit == 1):
        raise ValueError(
            f"{text!r} is no size: wanted is a number of bytes, or one with KiB, MiB, GiB or TiB"
        )
    whole, fraction = found[1], found[2] or ""
    count: int = int(whole + fraction) * unit // 10 ** len(fraction)
    return count
