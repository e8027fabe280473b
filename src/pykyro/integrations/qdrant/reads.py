"""The calls that list, count and look points up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pykyro
from pykyro.integrations.qdrant.database import DatabaseOfClient, Points, check_bound, check_others
from pykyro.integrations.qdrant.errors import UnexpectedResponse, qdrant_errors
from pykyro.integrations.qdrant.filters import FilterDict, filter_dict, joined
from pykyro.integrations.qdrant.ids import ORDER, PointId, document_ids, order_of, point_id
from pykyro.integrations.qdrant.models import CountResult, FacetResponse, FacetValueHit, Record
from pykyro.integrations.qdrant.points import shown_id, shown_payload, shown_vector
from pykyro.integrations.qdrant.writes import stored

_PAGE: Final = 1000
_LIMIT_MAX: Final = 2**31
_LEAST: Final = float("-inf")


class PointReads(DatabaseOfClient):
    """The reads of a client that need no vector."""

    def scroll(
        self,
        collection_name: str,
        scroll_filter: Any = None,
        limit: int = 10,
        order_by: Any = None,
        offset: Any = None,
        with_payload: Any = True,
        with_vectors: Any = False,
        **others: Any,
    ) -> tuple[list[Record], PointId | None]:
        """Points by id, from the id `offset` on, and the id of the next one, None at the end; with `order_by` those
        that have a number there, by it."""
        check_others("scroll", others)
        check_bound(limit, "limit", 1, _LIMIT_MAX)
        target = self._points(collection_name)
        criteria = filter_dict(scroll_filter)
        with qdrant_errors(collection_name):
            if order_by is not None:
                if offset is not None:
                    raise UnexpectedResponse(
                        400, "Offset is not supported in conjunction with `order_by` scroll parameter"
                    )
                return by_value(target, criteria, order_by, limit, with_payload, with_vectors), None
            return by_id(target, criteria, offset, limit, with_payload, with_vectors)

    def retrieve(
        self,
        collection_name: str,
        ids: Sequence[Any],
        with_payload: Any = True,
        with_vectors: Any = False,
        **others: Any,
    ) -> list[Record]:
        """The points with these ids; those that are not there are left out."""
        check_others("retrieve", others)
        collection = self._points(collection_name).collection
        with qdrant_errors(collection_name):
            return [
                record(one, with_payload) for one in stored(collection, document_ids(ids), bool(with_vectors))
            ]

    def count(
        self, collection_name: str, count_filter: Any = None, exact: bool = True, **others: Any
    ) -> CountResult:
        """How many points match, always exactly."""
        check_others("count", others)
        with qdrant_errors(collection_name):
            return CountResult(
                count=self._points(collection_name).collection.count(filter=filter_dict(count_filter))
            )

    def facet(
        self,
        collection_name: str,
        key: str,
        facet_filter: Any = None,
        limit: int = 10,
        exact: bool = False,
        **others: Any,
    ) -> FacetResponse:
        """The most frequent texts, integers and bools under a key, and how many points have each, always exactly."""
        check_others("facet", others)
        check_bound(limit, "limit", 1, _PAGE)
        with qdrant_errors(collection_name):
            found = self._points(collection_name).collection.facets(
                key.removesuffix("[]"), filter=filter_dict(facet_filter), limit=_PAGE
            )
        hits = [
            FacetValueHit(value=one.value, count=one.count)
            for one in found
            if isinstance(one.value, (str, int, bool))
        ]
        return FacetResponse(hits=hits[:limit])


def record(found: pykyro.StoredDocument, with_payload: Any, order_value: Any = None) -> Record:
    """A point as it is shown."""
    return Record(
        id=shown_id(found),
        payload=shown_payload(found.metadata, with_payload),
        vector=shown_vector(found.vector),
        order_value=order_value,
    )


def by_id(
    target: Points, criteria: FilterDict | None, offset: Any, limit: int, with_payload: Any, with_vectors: Any
) -> tuple[list[Record], PointId | None]:
    """Points in the order of ids from `offset` on, and the id of the one that follows."""
    begin = None if offset is None else {ORDER: {"$gte": order_of(point_id(offset))}}
    found = _listed(target, joined([criteria, begin]), ORDER, False, limit + 1, with_vectors)
    following = shown_id(found[limit]) if len(found) > limit else None
    return [record(one, with_payload) for one in found[:limit]], following


def by_value(
    target: Points,
    criteria: FilterDict | None,
    order_by: Any,
    limit: int,
    with_payload: Any,
    with_vectors: Any,
) -> list[Record]:
    """Points that have a number under a key, in its order."""
    key = order_by if isinstance(order_by, str) else order_by.key
    direction = getattr(order_by, "direction", None)
    descending = direction is not None and str(getattr(direction, "value", direction)) == "desc"
    start = getattr(order_by, "start_from", None)
    if start is not None and not isinstance(start, (int, float)):
        raise UnexpectedResponse(400, f"start_from must be a number here, got {start!r:.100}")
    bound = {"$gte": _LEAST} if start is None else {"$lte" if descending else "$gte": start}
    found = _listed(
        target, joined([criteria, {key: {"$between": bound}}]), key, descending, limit, with_vectors
    )
    return [record(one, with_payload, _value_at(one.metadata, key)) for one in found]


def _listed(
    target: Points,
    criteria: FilterDict | None,
    order_by: str,
    descending: bool,
    limit: int,
    with_vectors: Any,
) -> list[pykyro.StoredDocument]:
    found: list[pykyro.StoredDocument] = []
    token = ""
    while len(found) < limit:
        page = target.collection.scroll(
            filter=criteria,
            limit=min(_PAGE, limit - len(found)),
            page_token=token,
            order_by=order_by,
            descending=descending,
            include_vectors=bool(with_vectors),
        )
        found.extend(page)
        token = page.next_page_token
        if not token:
            break
    return found


def _value_at(metadata: Any, key: str) -> int | float | None:
    value = metadata.get(key)
    if value is None:
        for part in key.split("."):
            metadata = metadata.get(part) if isinstance(metadata, dict) else None
        value = metadata
    if isinstance(value, list):
        value = next((one for one in value if isinstance(one, (int, float))), None)
    return value if isinstance(value, (int, float)) else None
