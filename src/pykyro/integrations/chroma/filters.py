"""`where` and `where_document` of Chroma as one filter of KyroDB."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from pykyro.integrations.chroma.errors import NotSupported
from pykyro.integrations.chroma.rows import DOCUMENT

Filter: TypeAlias = dict[str, Any]
_ORDERED: Final = ("$gt", "$gte", "$lt", "$lte")
_LISTED: Final = ("$in", "$nin")
_ELEMENT: Final = ("$contains", "$not_contains")
_OPERATORS: Final = (*_ORDERED, "$ne", "$eq", *_LISTED, *_ELEMENT)


def combined_filter(
    where: Mapping[str, Any] | None,
    where_document: Mapping[str, Any] | None,
    ids: Sequence[str] | None = None,
) -> Filter | None:
    """The filter that all three make together; None for none of them. Raises ValueError as Chroma does."""
    parts: list[Filter] = []
    if where is not None:
        parts.append(_where(where))
    if where_document is not None:
        parts.append(_where_document(where_document))
    if ids is not None:
        parts.append({"__id__": {"$in": list(ids)}})
    if len(parts) > 1:
        return {"$and": parts}
    return parts[0] if parts else None


def _where(where: Mapping[str, Any]) -> Filter:
    key, value = _only_entry(where, "where")
    if key in ("$and", "$or"):
        return _joined(key, value, _where, "where")
    if not isinstance(value, Mapping):
        if not isinstance(value, (str, int, float)):
            raise ValueError(
                f"Expected where value to be a str, int, float, or operator expression, got {value!r:.200}"
            )
        return {key: {"$eq": value}}
    if len(value) != 1:
        raise ValueError(f"Expected operator expression to have exactly one operator, got {value!r:.200}")
    ((operator, operand),) = value.items()
    return _condition(key, operator, operand)


def _condition(key: str, operator: str, operand: Any) -> Filter:
    if operator not in _OPERATORS:
        raise ValueError(
            f"Expected where operator to be one of {', '.join(_OPERATORS)}, got {operator!r:.200}"
        )
    if operator in _LISTED:
        _check_listed(operand)
    elif not isinstance(operand, (str, int, float)):
        raise ValueError(
            f"Expected where operand value to be a str, int, float or bool, got {operand!r:.200} for {operator}"
        )
    elif operator in _ORDERED and (isinstance(operand, (bool, str))):
        raise ValueError(
            f"Expected operand value to be an int or a float for operator {operator}, got {operand!r:.200}"
        )
    if operator == "$contains":
        return {key: {"$contains_any": [operand]}}
    if operator == "$not_contains":
        return {"$not": {key: {"$contains_any": [operand]}}}
    return {key: {operator: list(operand) if operator in _LISTED else operand}}


def _check_listed(operand: Any) -> None:
    if (
        not isinstance(operand, (list, tuple))
        or not operand
        or any(not isinstance(one, (str, int, float)) for one in operand)
        or len({type(one) for one in operand}) != 1
    ):
        raise ValueError(
            "Expected where operand value to be a non-empty list, and all values to be of the same type "
            f"got {operand!r:.200}"
        )


def _where_document(where: Mapping[str, Any]) -> Filter:
    operator, operand = _only_entry(where, "where document")
    if operator in ("$and", "$or"):
        return _joined(operator, operand, _where_document, "where document")
    if operator in ("$regex", "$not_regex"):
        raise NotSupported(
            f"where_document has no {operator} here: use $contains, or match the documents of get() in Python"
        )
    if operator not in _ELEMENT:
        raise ValueError(
            "Expected where document operator to be one of $contains, $not_contains, $and, $or, got "
            f"{operator!r:.200}"
        )
    if not isinstance(operand, str):
        raise ValueError(
            f"Expected where document operand value for operator {operator} to be a str, got {operand!r:.200}"
        )
    if not operand:
        raise ValueError(
            f"Expected where document operand value for operator {operator} to be a non-empty str"
        )
    contains = {DOCUMENT: {"$contains": operand}}
    return contains if operator == "$contains" else {"$not": contains}


def _only_entry(where: Any, what: str) -> tuple[str, Any]:
    if not isinstance(where, Mapping):
        raise ValueError(f"Expected {what} to be a dict, got {where!r:.200}")
    if len(where) != 1:
        raise ValueError(f"Expected {what} to have exactly one operator, got {where!r:.200}")
    ((key, value),) = where.items()
    if not isinstance(key, str):
        raise ValueError(f"Expected {what} key to be a str, got {key!r:.200}")
    return key, value


def _joined(operator: str, parts: Any, part: Callable[[Mapping[str, Any]], Filter], what: str) -> Filter:
    if not isinstance(parts, list) or len(parts) < 2:
        raise ValueError(
            f"Expected {what} value for $and or $or to be a list with at least two {what} expressions, "
            f"got {parts!r:.200}"
        )
    return {operator: [part(one) for one in parts]}
