"""Ids of points: integers and UUIDs, side by side in one collection.

A document's id is the text of a point's id. In Qdrant's order, which scroll pages follow, integers come first, by
their value; the entry ORDER of each document has a text whose order is this one.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from pykyro.integrations.qdrant.errors import UnexpectedResponse

PointId: TypeAlias = int | str
ORDER: Final = "qdrant:order"
_INTEGER_MAX: Final = 2**64 - 1


def point_id(given: Any) -> PointId:
    """The id in its one form: a UUID as 36 characters in lower case. Raises UnexpectedResponse."""
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= _INTEGER_MAX:
        return int(given)
    try:
        return str(given if isinstance(given, uuid.UUID) else uuid.UUID(given))
    except (ValueError, AttributeError, TypeError):
        raise UnexpectedResponse(
            400, f"Point id {given!r:.200} must be an integer of 0 to {_INTEGER_MAX}, or a UUID"
        ) from None


def document_id(given: Any) -> str:
    """The id of the document that keeps a point."""
    return str(point_id(given))


def document_ids(given: Iterable[Any]) -> list[str]:
    """The ids of documents, none twice."""
    return list(dict.fromkeys(map(document_id, given)))


def id_of(document_id: str) -> PointId:
    """The id of the point that a document keeps."""
    return int(document_id) if document_id.isdecimal() else document_id


def order_of(given: PointId) -> str:
    """The text by which documents are in the order of their points."""
    return f"0{given:020}" if isinstance(given, int) else f"1{given}"
