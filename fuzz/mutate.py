"""A mutator in plain Python, for where atheris is not installed: not guided by coverage, but fast and repeatable."""

from __future__ import annotations

import random
from collections.abc import Sequence

_TELLING = (0, 1, 0x7F, 0x80, 0xFF)
_WORDS = (
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x80",
    b"\xff" * 8,
    b'"',
    b"{",
    b"[",
    b"]",
    b"}",
    b"\n",
    b"nan",
    b"-1",
)
LENGTH_MAX = 2000


def mutated(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """One of the corpus, changed in a few places."""
    data = bytearray(rng.choice(corpus))
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randint(0, len(data))
        match rng.randint(0, 7):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randint(0, 7)
            case 1 if data:
                data[at % len(data)] = rng.choice(_TELLING)
            case 2:
                data[at:at] = rng.randbytes(rng.choice((1, 2, 4, 16)))
            case 3:
                del data[at : at + rng.choice((1, 2, 8, 64))]
            case 4:
                data[at:at] = rng.choice(_WORDS)
            case 5:
                other = rng.choice(corpus)
                start = rng.randint(0, len(other))
                data[at:] = other[start:]
            case 6:
                data[at:at] = data[at : at + rng.choice((4, 16, 64))] * rng.choice((1, 2, 20))
            case _:
                data[at : at + 4] = rng.randbytes(4)
    return bytes(data[:LENGTH_MAX])
