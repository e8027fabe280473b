"""The key of the memory budget: memory."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

from pykyro.config.settings.declare import Integer, Section, Wanted, key
from pykyro.model import limits

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


def _size(value: Any) -> Any:
    return parse_bytes(value) if isinstance(value, str) else value


ByteSize = Annotated[
    Integer,
    BeforeValidator(_size),
    Wanted(
        f"an integer of bytes or a size like 512MiB or 2GiB, from {limits.MEMORY_LIMIT_BYTES_MIN >> 20}MiB on"
    ),
]


class MemorySettings(Section):
    """How much memory the server takes, whatever is sent to it."""

    limit: ByteSize | None = key(
        None,
        "Memory of the process. When it runs short, caches shrink, then new writes and at last new reads are refused "
        f"with RESOURCE_EXHAUSTED. null is {limits.MEMORY_LIMIT_SHARE:.0%} of what the control group allows, or of "
        "the memory of the machine.",
        unit="bytes",
        ge=limits.MEMORY_LIMIT_BYTES_MIN,
        le=limits.COUNT_MAX,
        example=2 << 30,
        reloads=True,
    )

    def limit_bytes(self, allowed_bytes: int) -> int:
        """The limit where the system allows the process so many bytes."""
        return int(limits.MEMORY_LIMIT_SHARE * allowed_bytes) if self.limit is None else self.limit
