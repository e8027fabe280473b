"""Filters as plain dicts, the way a Python program writes them.

    filter     = { key: condition, … "$and": [filter, …], "$or": [filter, …], "$not": filter }     all must
    hold condition  = value                              equal
               | { operator: operand, … }           all must hold
    operator   = $eq value | $ne value | $in [value, …] | $nin [value, …]
               | $gt value | $gte value | $lt value | $lte value
               | $exists true/false | $not { operator: operand, … }
    value      = text | number                      a number stands for its text, see `text_of`

What the conditions mean is the filter language's own (pykyro.model.filter): so $ne, $nin and $not hold for a
document without the key, equality is of text ("1" is not "1.0"), and only $gt, $gte, $lt and $lte compare
numbers. A key that begins with "$" cannot be written this way; the filter classes take any key.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

import numpy as np

from pykyro.model.errors import InvalidArgument
from pykyro.model.filter import And, Anything, Exact, Filter, In, Not, Or, Range, RangeOperator, check_filter
from pykyro.model.limits import FILTER_DEPTH_MAX
from pykyro.system.signal_handlers import raised_by_handler

FilterLike: TypeAlias = Filter | Mapping[str, object]
"""A filter, or a dict that spells one."""

_Operator: TypeAlias = Callable[[str, object, str, int], Filter]

_BOUNDS: Final[dict[str, RangeOperator]] = {"$gte": "gte", "$lte": "lte", "$gt": "gt", "$lt": "lt"}
_WHOLE_MAX: Final = 2**53
"""Up to here a float that is whole is that very number, and is written without point or exponent."""


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


def text_of(value: object, field: str) -> str:
    """The text that metadata and filters hold for `value`: text as it is, a number in its shortest decimal
    form.

    A whole number has neither point nor exponent (2020.0 is "2020"); any other float is the shortest text
    that reads back as the same float. Raises InvalidArgument for NaN and for what is neither text nor
    number, bool included: whether it means "true", "True" or "1" is for the caller to say.
    """
    if isinstance(value, str):
        # A plain one of the same characters, for the classes of others (an Enum that is a str) bring methods along.
        return _utf8(value if type(value) is str else str.__str__(value), field)
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InvalidArgument(f"{field} must be text or a number, got {shown(value)}", field=field)
    if isinstance(value, (int, np.integer)):
        return _integer(int(value), field)
    number = float(value)
    if math.isnan(number):
        raise InvalidArgument(f"{field} must be text or a number, got NaN", field=field)
    if abs(number) <= _WHOLE_MAX and number.is_integer():
        return str(int(number))
    # str of NumPy's own floats, because it is the shortest text that reads back as one of that width.
    return str(value) if isinstance(value, np.floating) else float.__repr__(number)


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
    if isinstance(value, (list, tuple, set, frozenset)):
        raise InvalidArgument(
            f"{path} must be text or a number, got {shown(value)}; for any of several values write "
            f'{{"$in": […]}}',
            field=path,
        )
    return Exact(key, text_of(value, path))


def _one_of(key: str, value: object, path: str, depth: int) -> Filter:
    listed = _listed(value, path, "values")
    return In(key, tuple(text_of(one, f"{path}[{at}]") for at, one in enumerate(listed)))


def _exists(key: str, value: object, path: str, depth: int) -> Filter:
    if not isinstance(value, bool):
        raise InvalidArgument(f"{path} must be True or False, got {shown(value)}", field=path)
    present = Range(key, None)
    return present if value else Not(present)


def _not(key: str, value: object, path: str, depth: int) -> Filter:
    if not isinstance(value, Mapping):
        raise InvalidArgument(f"{path} must be a dict of operators, got {shown(value)}", field=path)
    return Not(_condition(key, value, path, depth + 1))


def _bound(operator: RangeOperator) -> _Operator:
    return lambda key, value, path, depth: Range(key, operator, text_of(value, path))


def _negated(operator: _Operator) -> _Operator:
    return lambda key, value, path, depth: Not(operator(key, value, path, depth))


_OPERATORS: Final[dict[str, _Operator]] = {
    "$eq": _equal,
    "$ne": _negated(_equal),
    "$in": _one_of,
    "$nin": _negated(_one_of),
    **{name: _bound(operator) for name, operator in _BOUNDS.items()},
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
        entries[_utf8(key, f"{path}.{key!r}")] = operand
    return entries


def _listed(value: object, path: str, wanted: str) -> Iterable[object]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise InvalidArgument(f"{path} must be a list of {wanted}, got {shown(value)}", field=path)
    return value


def _integer(value: int, field: str) -> str:
    try:
        return str(value)
    except ValueError:
        raise InvalidArgument(
            f"{field} is a number of {value.bit_length()} bits, too many to write out", field=field
        ) from None


def _utf8(text: str, field: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(
            f"{field} is not text that UTF-8 can hold: character {error.start} is {text[error.start]!r}",
            field=field,
        ) from None
    return text


def shown(value: object) -> str:
    """The value and its type in words for a message, short, whatever the value is."""
    try:
        text = repr(value)
    except Exception as error:
        if raised_by_handler(error):
            raise
        text = f"that cannot be shown ({type(error).__name__})"
    text = " ".join(text.split())
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:60] + '…'}"


def shown_error(error: BaseException) -> str:
    """The class of an error and the first words of its text."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
