"""Digests of file contents: XXH3 128 bit, which reads memory faster than any disk delivers it.

It detects damage, not malice: whoever can write into the data directory can write a matching digest too.
Source: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
"""

from __future__ import annotations

import xxhash

from pykyro.model.types import BytesLike


class Digest:
    """A digest fed piece by piece."""

    def __init__(self) -> None:
        self._state = xxhash.xxh3_128()

    def update(self, data: BytesLike) -> None:
        self._state.update(data)

    def text(self) -> str:
        """32 hexadecimal digits."""
        return self._state.hexdigest()


def digest(data: BytesLike) -> str:
    """The digest of `data`, 32 hexadecimal digits."""
    return xxhash.xxh3_128_hexdigest(data)
