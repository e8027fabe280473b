"""The key of the memory budget: memory."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from pykyro.config.settings.declare import Integer, Section, Wanted, key
from pykyro.model import limits
from pykyro.model.byte_size import parse_bytes


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
