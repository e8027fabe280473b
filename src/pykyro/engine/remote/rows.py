"""Documents as rows of the table, in the binary form of COPY, and back.

What filters ask for is worked out here once, by the same code that the local index uses, so that the other side has
only texts to compare byte by byte:

    texts      key → the text form of the value, reserved keys too
    tokens     key or dotted path → the tokens of what is there (pykyro.model.tokens), where that is not just a text
    numbers    key → a text in the order of numbers, where the text form spells one
    folded     key → the text form with its letters folded, where that differs; and the folded texts among `tokens`,
               under the path behind FOLDED_TOKENS

PostgreSQL keeps no character zero, so the first two are written as pairs; see `escaped`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pykyro.engine.tiers.cold_segment import ColdSegment
from pykyro.engine.tiers.hot_tier import HotTier
from pykyro.model.expiry import NEVER_US, instant_us_in
from pykyro.model.number import exact_order, parse_number
from pykyro.model.tokens import entries_of
from pykyro.model.types import Rows, Vector

COLUMNS: Final = (
    "row, owner, doc_key, position, expires_us, texts, tokens, numbers, folded, wire, reserved, embedding"
)
FOLDED_TOKENS: Final = "\x01\x09"
NAN: Final = "N"
"""Among `numbers`: it is in no range."""
_SIGN_FROM: Final = 1 << 63
"""Ids have 64 bits and no sign; PostgreSQL's integers have one. So the order stays the same."""
_COUNT: Final = struct.Struct(">h")
_LENGTH: Final = struct.Struct(">i")
_INTEGER: Final = struct.Struct(">iq")
_VECTOR_HEAD: Final = struct.Struct(">HH")
COPY_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_END: Final = _COUNT.pack(-1)
_POWER_ZERO: Final = 10**19
_ESCAPES: Final = {"\0": "\x01\x01", "\x01": "\x01\x02"}


def doc_key_of(doc_id: int) -> int:
    """The id as it stands in the table."""
    return doc_id - _SIGN_FROM


def doc_id_of(doc_key: int) -> int:
    return doc_key + _SIGN_FROM


def escaped(text: str) -> str:
    """The text without character zero. Keeps the order of texts, and which is the beginning of which."""
    if "\0" in text or "\x01" in text:
        return "".join([_ESCAPES.get(letter, letter) for letter in text])
    return text


def unescaped(text: str) -> str:
    """The text that `escaped` wrote."""
    if "\x01" not in text:
        return text
    return text.replace("\x01\x01", "\0").replace("\x01\x02", "\x01")


def number_key(text: str) -> str | None:
    """A text in the order of the numbers that texts spell; NAN for that, None for what is no number."""
    number = parse_number(text)
    if number is None:
        return None
    if number != number:
        return NAN
    sign, power, digits = exact_order(text)
    return f"{sign + 2}{power + _POWER_ZERO:020d}{digits}"


def filter_columns(metadata: Mapping[str, str]) -> tuple[dict[str, Any], ...]:
    """`texts`, `tokens`, `numbers` and `folded` of a document with this whole metadata."""
    texts, numbers, folded = dict[str, Any](), dict[str, Any](), dict[str, Any]()
    tokens = dict[str, list[str]]()
    for key, text in metadata.items():
        name = escaped(key)
        texts[name] = escaped(text)
        order = number_key(text)
        if order is not None:
            numbers[name] = order
        small = text.casefold()
        if small != text:
            folded[name] = escaped(small)
    for path, token in entries_of(metadata):
        tokens.setdefault(escaped(path), []).append(escaped(token))
        if token[0] == "t":
            folded.setdefault(FOLDED_TOKENS + escaped(path), []).append(escaped(token[1:].casefold()))
    return texts, tokens, numbers, folded


def vector_bytes(vector: Vector) -> bytes:
    """A vector in the binary form of pgvector."""
    return _VECTOR_HEAD.pack(len(vector), 0) + vector.astype(">f4").tobytes()


def vectors_of(data: list[bytes], dimension: int) -> npt.NDArray[np.float32]:
    """Vectors of their binary forms, shape (n, dimension)."""
    joined = b"".join([one[_VECTOR_HEAD.size :] for one in data])
    return np.frombuffer(joined, ">f4").astype(np.float32).reshape(len(data), dimension)


def copy_rows(tier: HotTier | ColdSegment, rows: Rows, first_row: int) -> Iterator[bytes]:
    """Rows of a tier as data for COPY, numbered from `first_row`."""
    ids, _, _ = tier.columns_of(rows)
    owners, positions = tier.owners_of(rows), tier.positions_of(rows)
    yield COPY_HEAD
    for at, row in enumerate(rows.tolist()):
        stored = tier.metadata(row)
        reserved = stored.reserved
        instant_us = instant_us_in(reserved)
        columns = [_json(part) for part in filter_columns(stored.whole())]
        columns += [stored.public, reserved, vector_bytes(tier.vector(row))]
        expires_us = 0 if instant_us >= NEVER_US else instant_us
        integers = (first_row + at, int(owners[at]), doc_key_of(int(ids[at])), int(positions[at]), expires_us)
        parts = [_COUNT.pack(12)]
        parts += [_INTEGER.pack(8, integer) for integer in integers]
        for column in columns:
            parts += (_LENGTH.pack(len(column)), column)
        yield b"".join(parts)
    yield COPY_END


def _json(value: Mapping[str, Any]) -> bytes:
    # The first byte is the version of the binary form of jsonb.
    return b"\x01" + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
