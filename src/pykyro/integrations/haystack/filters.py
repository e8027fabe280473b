"""Haystack's filters as filters of the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias

from haystack.errors import FilterError

from pykyro.integrations.haystack.documents import CONTENT_KEY, NO_EMBEDDING_KEY

Filter: TypeAlias = dict[str, Any]

_FIELDS: Final = {"id": "__id__", "content": CONTENT_KEY}
_ORDERS: Final = {">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte"}
_NOTHING: Final[Filter] = {"$or": []}
"""What no document matches."""


def filter_of(filters: Mapping[str, Any] | None) -> Filter | None:
    """The filter; None for all documents. Raises FilterError."""
    return _filter(filters) if filters else None


def searched(filters: Mapping[str, Any] | None) -> Filter:
    """The filter of a search, which leaves out documents without an embedding."""
    condition, embedded = filter_of(filters), {NO_EMBEDDING_KEY: {"$exists": False}}
    return embedded if condition is None else {"$and": [condition, embedded]}


def _filter(filters: object) -> Filter:
    if not isinstance(filters, Mapping):
        raise FilterError(f"a filter must be a dict, got {type(filters).__name__}")
    if "field" in filters:
        return _comparison(filters)
    operator, conditions = _entry(filters, "operator"), _entry(filters, "conditions")
    if not isinstance(conditions, list):
        raise FilterError(f"conditions must be a list, got {type(conditions).__name__}")
    parts = [_filter(condition) for condition in conditions]
    match operator:
        case "AND":
            return {"$and": parts}
        case "OR":
            return {"$or": parts}
        case "NOT":
            # Haystack has it hold unless all of its conditions do.
            return {"$not": {"$and": parts}}
    raise FilterError(f"operator must be AND, OR or NOT, got {operator!r}")


def _comparison(filters: Mapping[str, Any]) -> Filter:
    operator, value = _entry(filters, "operator"), _entry(filters, "value")
    key = _key(filters["field"])
    match operator:
        case "==":
            return _one_of(key, [value])
        case "!=":
            return {"$not": _one_of(key, [value])}
        case "in" | "not in":
            if not isinstance(value, list):
                raise FilterError(f"the value of {operator!r} must be a list, got {type(value).__name__}")
            among = _one_of(key, value)
            return among if operator == "in" else {"$not": among}
        case ">" | ">=" | "<" | "<=":
            return _NOTHING if value is None else {key: {_ORDERS[operator]: _ordered(value, operator)}}
    raise FilterError(f"{operator!r} is no operator of a comparison: one of == != > >= < <= in, not in")


def _one_of(key: str, values: list[Any]) -> Filter:
    equal: Filter = {key: {"$in": values}}
    # Haystack does not tell a document without the key from one where it is None.
    return {"$or": [equal, {key: {"$exists": False}}]} if None in values else equal


def _ordered(value: object, operator: str) -> object:
    if isinstance(value, list):
        raise FilterError(f"the value of {operator!r} cannot be a list")
    if isinstance(value, str):
        try:
            datetime.fromisoformat(value)
        except ValueError as error:
            raise FilterError(f"texts are compared by {operator!r} only as ISO dates: {error}") from None
    return value


def _key(field: object) -> str:
    if not isinstance(field, str) or field.startswith("$"):
        raise FilterError(f"field must be the name of one, got {field!r}")
    return _FIELDS.get(field, field.removeprefix("meta."))


def _entry(filters: Mapping[str, Any], name: str) -> Any:
    if name not in filters:
        raise FilterError(f"a filter lacks {name!r}: {dict(filters)!r:.200}")
    return filters[name]
