"""Filters as plain dicts, the way a Python program writes them.

    filter     = { key: condition, … "$and": [filter, …], "$or": [filter, …], "$not": filter }     all must
    hold condition  = value                              equal
               | { operator: operand, … }           all must hold
    operator   = $eq value | $ne value | $in [value, …] | $nin [value, …]
               | $gt value | $gte value | $lt value | $lte value
               | $between [value, value] | $between { $gt or $gte: value, $lt or $lte: value }
               | $contains text | $icontains text | $prefix text
               | $contains_any [value, …] | $contains_all [value, …]
               | $is_null true/false | $exists true/false | $not { operator: operand, … }
    value      = text | number | bool | None | datetime | list | dict     a dict behind an operator only
    key        = of the metadata, or a path into its dicts: "author.name"

Values compare by their type: 1 equals 1.0, but neither "1" nor True, and "$gt": 9 matches numbers alone. A list
matches when one of its elements does, or when it is equal as a whole. $ne, $nin and $not hold for a document without
the key. Of a list with several values, $gt and $lt may be satisfied by two of them; $between wants one within both
bounds, and with a dict of bounds, one of which may be missing, it never takes a text for a number. See
pykyro.model.typed_filter, also for numbers that clients without types have stored as texts. A key that
begins with "$" cannot be written this way; the filter classes take any key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, TypeAlias

import numpy as np

from pykyro.model.errors import InvalidArgument
from pykyro.model.filter import And, Anything, Filter, Not, Or, Range, check_filter
from pykyro.model.limits import FILTER_DEPTH_MAX, OPERAND_INTEGER_DIGITS_MAX
from pykyro.model.scalars import require_utf8, shown
from pykyro.model.tokens import kind_of, operand_of
from pykyro.model.typed_filter import ORDERED, Among, Between, Present, TextMatch, TextOperator
from pykyro.model.values import NAMES, text_form

FilterLike: TypeAlias = Filter | Mapping[str, object]
"""A filter, or a dict that spells one."""

_Operator: TypeAlias = Callable[[str, object, str, int], Filter]


def parse_filter(condition: FilterLike, *, field: str = "filter") -> Filter:
    """The filter that `condition` spells; an empty dict matches everything.

    Raises InvalidArgument whose message and `field` name the path of the bad part (`filter.year.$gte`), or
    that says that the filter is too deep or too wide.
    """
    parsed = _unchanging(condition, field) if isinstance(condition, Filter) else _filter(condition, field, 1)
    check_filter(parsed)
    return parsed


def _unchanging(condition: Filter, field: str) -> Filter:
    try:
        hash(condition)
    except TypeError as error:
        # A list in it could change while the query is answered, and cannot be looked up in a cache.
        raise InvalidArgument(f"{field} must hold tuples, not lists: {error}", field=field) from None
    except RecursionError:
        # Left for the check of its depth to name.
        return condition
    return condition


def operand(value: object, path: str) -> str:
    """The operand (pykyro.model.tokens) for a value in a filter, where an integer may have more than 64 bits.

    Raises InvalidArgument naming the path.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if value.bit_length() > 3 * OPERAND_INTEGER_DIGITS_MAX:
            raise InvalidArgument(
                f"{path} is a number of {value.bit_length()} bits, too many to write out", field=path
            )
        return f"i{int(value)}"
    return operand_of(text_form(value, path))


def _filter(condition: object, path: str, depth: int) -> Filter:
    entries = _entries(condition, path, depth, "a dict of conditions")
    parts: list[Filter] = []
    for key, operand in entries.items():
        inner = f"{path}.{key}"
        match key:
            case "$and":
                parts.append(And(_filters(operand, inner, depth)))
            case "$or":
                parts.append(Or(_filters(operand, inner, depth)))
            case "$not":
                parts.append(Not(_filter(operand, inner, depth + 1)))
            case _ if key.startswith("$"):
                raise InvalidArgument(
                    f"{inner} is no operator here: one of $and, $or, $not, or a metadata key", field=inner
                )
            case _:
                parts.append(_condition(key, operand, inner, depth))
    return _all_of(parts)


def _filters(operand: object, path: str, depth: int) -> tuple[Filter, ...]:
    listed = _listed(operand, path, "filters")
    return tuple(_filter(part, f"{path}[{at}]", depth + 1) for at, part in enumerate(listed))


def _condition(key: str, operand: object, path: str, depth: int) -> Filter:
    if not isinstance(operand, Mapping):
        return _equal(key, operand, path, depth)
    entries = _entries(operand, path, depth, "operators")
    if not entries:
        raise InvalidArgument(f"{path} names no operator: one of {', '.join(_OPERATORS)}", field=path)
    parts: list[Filter] = []
    for operator, value in entries.items():
        inner = f"{path}.{operator}"
        if operator not in _OPERATORS:
            raise InvalidArgument(f"{inner} is no operator: one of {', '.join(_OPERATORS)}", field=inner)
        parts.append(_OPERATORS[operator](key, value, inner, depth))
    return _all_of(parts)


def _equal(key: str, value: object, path: str, depth: int) -> Filter:
    if isinstance(value, (set, frozenset)):
        raise InvalidArgument(
            f'{path} must be a value, got {shown(value)}; for any of several values write {{"$in": […]}}',
            field=path,
        )
    return Among(key, (operand(value, path),))


def _one_of(key: str, value: object, path: str, depth: int) -> Filter:
    return Among(key, _operands(value, path))


def _all_in(key: str, value: object, path: str, depth: int) -> Filter:
    return _all_of([Among(key, (one,)) for one in _operands(value, path)])


def _exists(key: str, value: object, path: str, depth: int) -> Filter:
    # What every server can tell, unless the key may be a path.
    present: Filter = Present(key) if "." in key else Range(key, None)
    return present if _bool(value, path) else Not(present)


def _is_null(key: str, value: object, path: str, depth: int) -> Filter:
    null = Among(key, (operand(None, path),))
    return null if _bool(value, path) else Not(null)


def _not(key: str, value: object, path: str, depth: int) -> Filter:
    if not isinstance(value, Mapping):
        raise InvalidArgument(f"{path} must be a dict of operators, got {shown(value)}", field=path)
    return Not(_condition(key, value, path, depth + 1))


def _between(key: str, value: object, path: str, depth: int) -> Filter:
    if isinstance(value, Mapping):
        return _between_bounds(key, _entries(value, path, depth, "two bounds"), path)
    ends = list(_listed(value, path, "two values"))
    if len(ends) != 2:
        raise InvalidArgument(f"{path} must be a list of two values, got {len(ends)}", field=path)
    low, high = (_bound(end, f"{path}[{at}]") for at, end in enumerate(ends))
    if kind_of(low) != kind_of(high):
        raise InvalidArgument(
            f"{path} must have two values of one type, got {shown(ends[0])} and {shown(ends[1])}", field=path
        )
    return Between(key, low, high)


def _between_bounds(key: str, bounds: dict[str, object], path: str) -> Filter:
    low = [name for name in ("$gt", "$gte") if name in bounds]
    high = [name for name in ("$lt", "$lte") if name in bounds]
    if not bounds or len(low) > 1 or len(high) > 1 or len(low) + len(high) < len(bounds):
        raise InvalidArgument(
            f"{path} must have one of $gt and $gte, one of $lt and $lte, or both, got "
            f"{', '.join(bounds) or 'nothing'}",
            field=path,
        )
    first, last = (_bound(bounds[ends[0]], f"{path}.{ends[0]}") if ends else None for ends in (low, high))
    if first is not None and last is not None and kind_of(first) != kind_of(last):
        raise InvalidArgument(f"{path} must have two values of one type, got {shown(bounds)}", field=path)
    return Between(key, first, last, low_open=low == ["$gt"], high_open=high == ["$lt"], strict=True)


def _below(key: str, value: object, path: str, depth: int, *, is_open: bool) -> Filter:
    return Between(key, None, _bound(value, path), high_open=is_open)


def _above(key: str, value: object, path: str, depth: int, *, is_open: bool) -> Filter:
    return Between(key, _bound(value, path), None, low_open=is_open)


def _bound(value: object, path: str) -> str:
    bound = operand(value, path)
    if bound[0] not in ORDERED:
        raise InvalidArgument(
            f"{path} must be text, a number, a bool or a datetime, got {shown(value)}: {NAMES[bound[0]]} values "
            "have no order",
            field=path,
        )
    return bound


def _text(key: str, value: object, path: str, depth: int, *, op: TextOperator) -> Filter:
    if not isinstance(value, str):
        raise InvalidArgument(f"{path} must be text, got {shown(value)}", field=path)
    return TextMatch(key, op, require_utf8(str.__str__(value), path))


def _negated(operator: _Operator) -> _Operator:
    return lambda key, value, path, depth: Not(operator(key, value, path, depth))


_OPERATORS: Final[dict[str, _Operator]] = {
    "$eq": _equal,
    "$ne": _negated(_equal),
    "$in": _one_of,
    "$nin": _negated(_one_of),
    "$gte": partial(_above, is_open=False),
    "$lte": partial(_below, is_open=False),
    "$gt": partial(_above, is_open=True),
    "$lt": partial(_below, is_open=True),
    "$between": _between,
    "$contains": partial(_text, op="contains"),
    "$icontains": partial(_text, op="icontains"),
    "$prefix": partial(_text, op="prefix"),
    "$contains_any": _one_of,
    "$contains_all": _all_in,
    "$is_null": _is_null,
    "$exists": _exists,
    "$not": _not,
}


def _all_of(parts: list[Filter]) -> Filter:
    match parts:
        case []:
            return Anything()
        case [only]:
            return only
        case _:
            return And(tuple(parts))


def _entries(value: object, path: str, depth: int, wanted: str) -> dict[str, object]:
    if depth > FILTER_DEPTH_MAX:
        raise InvalidArgument(
            f"filter is nested more than {FILTER_DEPTH_MAX} levels deep, the maximum", field="filter"
        )
    if not isinstance(value, Mapping):
        raise InvalidArgument(f"{path} must be {wanted}, got {shown(value)}", field=path)
    entries: dict[str, object] = {}
    for key, operand in value.items():
        if not isinstance(key, str):
            raise InvalidArgument(f"{path} has a key that is not text: {shown(key)}", field=path)
        entries[require_utf8(key, f"{path}.{key!r}")] = operand
    return entries


def _operands(value: object, path: str) -> tuple[str, ...]:
    return tuple(operand(one, f"{path}[{at}]") for at, one in enumerate(_listed(value, path, "values")))


def _bool(value: object, path: str) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise InvalidArgument(f"{path} must be True or False, got {shown(value)}", field=path)
    return bool(value)


def _listed(value: object, path: str, wanted: str) -> Iterable[object]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise InvalidArgument(f"{path} must be a list of {wanted}, got {shown(value)}", field=path)
    return value
