"""Ids of text: what may be one, and the errors about ids of the wrong type.

A collection has ids of one type. An integer id is 1 to 2**64 - 1, a text id 1 to TEXT_ID_BYTES_MAX bytes of UTF-8;
a uuid.UUID stands for its text.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import TEXT_ID_BYTES_MAX
from pykyro.model.scalars import require_utf8, shown

INTEGER: Final = "integer"
TEXT: Final = "text"
ID_TYPES: Final = (INTEGER, TEXT)
_SURELY_SHORT: Final = TEXT_ID_BYTES_MAX // 4
"""Letters that have no more bytes than an id may have."""


def id_type_of(text_ids: bool) -> str:
    return TEXT if text_ids else INTEGER


def checked_text_id(value: object, field: str) -> str:
    """`value` as a text that can be an id. Raises InvalidArgument."""
    if isinstance(value, UUID):
        return str(value)
    if not isinstance(value, str):
        raise InvalidArgument(
            f"{field} must be a text, got {shown(value)}: the ids of this collection are text; give str({field}), or "
            f"use a collection with id_type={INTEGER!r}",
            field=field,
        )
    # A plain one of the same characters: the class of another may compare and hash as it likes.
    text = require_utf8(value if type(value) is str else str.__str__(value), field)
    if not text or (len(text) > _SURELY_SHORT and len(text.encode()) > TEXT_ID_BYTES_MAX):
        raise InvalidArgument(
            f"{field} must have 1 to {TEXT_ID_BYTES_MAX} bytes in UTF-8, got {len(text.encode())}: "
            f"{text[:40]!r}",
            field=field,
        )
    return text


def no_text_id(value: object, field: str) -> InvalidArgument:
    """What refuses a text where ids are integers."""
    return InvalidArgument(
        f"{field} must be an integer, got {shown(value)}: the ids of this collection are integers; number the "
        f"documents, or use a collection with id_type={TEXT!r}",
        field=field,
    )
