"""Filters of Qdrant as filters of KyroDB."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import combinations, pairwise
from typing import Any, Final, TypeAlias

from pykyro.integrations.qdrant.errors import NotSupported, UnexpectedResponse
from pykyro.integrations.qdrant.ids import document_ids

FilterDict: TypeAlias = dict[str, Any]
_EVERY_NUMBER: Final = {"$between": {"$gte": -math.inf}}
"""Ranges are written so because a server may take texts for numbers elsewhere (docs/configuration.md)."""
_COMBINATIONS_MAX: Final = 100
_ELSEWHERE: Final = {
    "geo_bounding_box": "keep latitude and longitude as numbers, and use Range",
    "geo_radius": "keep latitude and longitude as numbers, and use Range",
    "geo_polygon": "keep latitude and longitude as numbers, and use Range",
    "values_count": "keep the number of values under a key of its own, and use Range",
    "nested": 'a list of dicts is one value here: keep its parts as points, or under keys such as "a.b"',
    "has_vector": "every point has a vector here",
    "slice": "use scroll",
}
"""Conditions that are not here, and what to do instead."""


def filter_dict(given: Any) -> FilterDict | None:
    """The filter for `given`, a Filter or a condition; None for none. Raises UnexpectedResponse, NotSupported."""
    if given is None:
        return None
    if isinstance(given, dict):
        raise UnexpectedResponse(400, "a filter must be a models.Filter, got a dict")
    return _condition(given)


def joined(parts: Iterable[FilterDict | None]) -> FilterDict | None:
    """What all of these say together."""
    said = [part for part in parts if part]
    if len(said) < 2:
        return said[0] if said else None
    return {"$and": said}


def _condition(given: Any) -> FilterDict:
    if _has(given, "key"):
        return _field(given)
    for name, way_out in _ELSEWHERE.items():
        if _has(given, name):
            raise NotSupported(f"the condition {type(given).__name__}: {way_out}")
    if _has(given, "is_empty"):
        return _is_empty(_key(given.is_empty.key))
    if _has(given, "is_null"):
        return {_key(given.is_null.key): {"$is_null": True}}
    if _has(given, "has_id"):
        return {"__id__": {"$in": document_ids(given.has_id)}}
    if not hasattr(given, "must_not"):
        raise UnexpectedResponse(400, f"{given!r:.200} is no condition of a filter")
    return _filter(given)


def _filter(given: Any) -> FilterDict:
    parts = [_condition(one) for one in _listed(given.must)]
    parts += [{"$not": _condition(one)} for one in _listed(given.must_not)]
    if should := [_condition(one) for one in _listed(given.should)]:
        parts.append({"$or": should})
    if given.min_should is not None:
        parts.append(_at_least(given.min_should.conditions, given.min_should.min_count))
    return {"$and": parts} if parts else {}


def _at_least(conditions: Any, count: int) -> FilterDict:
    if count < 1:
        raise UnexpectedResponse(400, f"min_count value {count} is invalid. Must be 1 or larger.")
    parts = [_condition(one) for one in conditions]
    if math.comb(len(parts), count) > _COMBINATIONS_MAX:
        raise NotSupported(f"min_should with {count} of {len(parts)} conditions: name fewer")
    # None of no combinations holds: more conditions are asked for than there are.
    return {"$or": [{"$and": list(chosen)} for chosen in combinations(parts, count)]}


def _field(given: Any) -> FilterDict:
    key = _key(given.key)
    for name in ("geo_bounding_box", "geo_radius", "geo_polygon", "values_count"):
        if _has(given, name):
            raise NotSupported(f"FieldCondition({name}=…): {_ELSEWHERE[name]}")
    if _has(given, "is_empty"):
        return _is_empty(key) if given.is_empty else {"$not": _is_empty(key)}
    if _has(given, "is_null"):
        is_null = {key: {"$is_null": True}}
        return is_null if given.is_null else {"$not": is_null}
    if _has(given, "match"):
        return _match(key, given.match)
    if _has(given, "range"):
        return _range(key, given.range)
    raise UnexpectedResponse(400, f"the condition of {given.key!r:.200} says nothing: give match or range")


def _is_empty(key: str) -> FilterDict:
    return {"$or": [{key: {"$exists": False}}, {key: {"$is_null": True}}, {key: {"$eq": []}}]}


def _match(key: str, given: Any) -> FilterDict:
    if _has(given, "value"):
        return _equal(key, given.value)
    if hasattr(given, "any"):
        return {"$or": [_equal(key, one) for one in given.any]}
    if hasattr(given, "except_"):
        return _except(key, list(given.except_))
    if hasattr(given, "text"):
        return _all_or_none([{key: {"$icontains": word}} for word in given.text.split()], "$and")
    if hasattr(given, "text_any"):
        return _all_or_none([{key: {"$icontains": word}} for word in given.text_any.split()], "$or")
    raise NotSupported(f"{type(given).__name__}: use MatchText, or search by words (docs/words.md)")


def _equal(key: str, value: Any) -> FilterDict:
    if isinstance(value, (str, bool)):
        return {key: {"$eq": value}}
    return {key: {"$between": {"$gte": value, "$lte": value}}}


def _all_or_none(parts: list[FilterDict], operator: str) -> FilterDict:
    # A text without a word is in no other text.
    return {operator: parts} if parts else {"$or": []}


def _except(key: str, values: list[Any]) -> FilterDict:
    """A value that is there, and no null, differs from all of `values`; of a list one element is enough. So it is
    of another type, or it lies between two of them."""
    texts = sorted({one for one in values if isinstance(one, str)}, key=lambda text: text.encode())
    numbers = sorted({one for one in values if not isinstance(one, str)})
    parts = _between_all(key, texts, [{key: {"$gte": ""}}])
    parts += _between_all(key, numbers, [{key: _EVERY_NUMBER}])
    return {"$or": [*parts, {key: {"$in": [True, False]}}]}


def _between_all(key: str, values: list[Any], any_at_all: list[FilterDict]) -> list[FilterDict]:
    if not values:
        return any_at_all
    gaps = [{key: {"$between": {"$gt": low, "$lt": high}}} for low, high in pairwise(values)]
    return [
        {key: {"$between": {"$lt": values[0]}}},
        *gaps,
        {key: {"$between": {"$gt": values[-1]}}},
    ]


def _range(key: str, given: Any) -> FilterDict:
    if type(given).__name__ == "DatetimeRange":
        raise NotSupported("DatetimeRange: keep times as numbers of seconds, and use Range")
    bounds = {f"${name}": getattr(given, name) for name in ("gt", "gte", "lt", "lte")}
    bounds = {operator: bound for operator, bound in bounds.items() if bound is not None}
    for pair in (("$gt", "$gte"), ("$lt", "$lte")):
        if all(operator in bounds for operator in pair):
            # Of two bounds on one side the narrower one says it all; of equal ones the open one.
            lower = pair[0] == "$gt"
            opened, closed = bounds[pair[0]], bounds[pair[1]]
            del bounds[pair[1] if (opened >= closed if lower else opened <= closed) else pair[0]]
    # One value has to lie within all bounds, where the document has a list of them.
    return {key: {"$between": bounds} if bounds else _EVERY_NUMBER}


def _key(given: str) -> str:
    """The path of a key. Qdrant writes keys with a dot in quotation marks, and "[]" for the elements of a list."""
    path = given.removesuffix("[]").replace('"', "")
    if "[" in path or not path or path.startswith("$"):
        raise NotSupported(f"the key {given!r:.200} of a filter: keys and paths into dicts are known here")
    return path


def _has(given: Any, name: str) -> bool:
    return getattr(given, name, None) is not None


def _listed(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, (list, tuple)) else [given]
