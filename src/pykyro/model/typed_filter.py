"""The parts of a filter that compare values by their type.

What a document has under a key are its values there: the value of the metadata key itself, and where dicts in the
metadata lead to the key as a dotted path, the values at their ends; of a list its elements too. A part matches when
one of these values does. Values compare with values of their type only, integers and floats being one, exactly.

Clients without types store numbers as texts. A part that is not `strict` takes such a text for a number where it is
compared with one, as Exact and Range of pykyro.model.filter do, if the text is the only value the key has.

Operands are texts (pykyro.model.tokens), because filters are keys of caches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from pykyro.model.number import RangeOperator, in_text_range
from pykyro.model.tokens import loose_text, operand_value
from pykyro.model.typed_text import ObjectText, TypedText
from pykyro.model.values import value_of

TextOperator: TypeAlias = Literal["contains", "icontains", "prefix"]

ORDERED: Final = "tifbd"
"""Tags of the values that have an order."""
_ORDERED_TYPES: Final = frozenset({str, float, bool, datetime})
"""Their types; integers count as floats."""


@dataclass(frozen=True, slots=True)
class Among:
    """A value is equal to one of these."""

    key: str
    operands: tuple[str, ...]
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Between:
    """A value lies between these, which are of one type; None is no bound, and an open end does not belong to it."""

    key: str
    low: str | None
    high: str | None
    low_open: bool = False
    high_open: bool = False
    strict: bool = False


@dataclass(frozen=True, slots=True)
class TextMatch:
    """A value is a text that has this in it, letters folded with "icontains", or begins with it."""

    key: str
    op: TextOperator
    text: str


@dataclass(frozen=True, slots=True)
class Present:
    """There is a value, None counted, under the key or the dotted path."""

    key: str


Typed: TypeAlias = Among | Between | TextMatch | Present


def holds(condition: Typed, metadata: Mapping[str, str]) -> bool:
    """Whether a document with this metadata satisfies `condition`."""
    untagged = metadata.get(condition.key)
    nested = [value for top in _values(metadata, condition.key) for value in _with_elements(top)]
    if isinstance(untagged, TypedText):
        nested += _with_elements(value_of(untagged))
        untagged = None
    values = nested if untagged is None else [*nested, untagged]
    # Of several values none is a number that a client without types has written.
    loose = None if nested else untagged
    match condition:
        case Among(_, operands):
            wanted = [operand_value(operand) for operand in operands]
            if loose is not None and not condition.strict and loose in map(loose_text, operands):
                return True
            return any(same(value, operand) for value in values for operand in wanted)
        case Between():
            if loose is not None and not condition.strict and _loosely_between(condition, loose):
                return True
            return any(_between(condition, value) for value in values)
        case TextMatch(_, op, text):
            return any(_text_holds(op, value, text) for value in values if isinstance(value, str))
        case Present():
            return bool(values)


def same(first: Any, second: Any) -> bool:
    """Whether two values are equal by type: Python itself says that True equals 1."""
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    return _type(first) is _type(second) and bool(first == second)


def _type(value: Any) -> type:
    return float if type(value) is int else type(value)


def _values(metadata: Mapping[str, str], path: str) -> Iterator[Any]:
    """The values to which dicts in the metadata lead by the dotted path."""
    for key, rest in _splits(path):
        text = metadata.get(key)
        if isinstance(text, ObjectText):
            yield from _below(value_of(text), rest)


def _below(value: Any, path: str) -> Iterator[Any]:
    if isinstance(value, dict):
        if path in value:
            yield value[path]
        for key, rest in _splits(path):
            if key in value:
                yield from _below(value[key], rest)


def _splits(path: str) -> Iterator[tuple[str, str]]:
    """The path cut at each of its dots in turn, for keys may have dots."""
    at = path.find(".")
    while at >= 0:
        yield path[:at], path[at + 1 :]
        at = path.find(".", at + 1)


def _with_elements(value: Any) -> list[Any]:
    return [value, *value] if isinstance(value, list) else [value]


def _between(condition: Between, value: Any) -> bool:
    kind = _type(value)
    if kind not in _ORDERED_TYPES:
        return False
    for bound, is_open, lower in _bounds(condition):
        limit = operand_value(bound)
        if _type(limit) is not kind:
            return False
        first, second = (limit, value) if lower else (value, limit)
        if not (first < second or (first == second and not is_open)):
            return False
    return True


def _loosely_between(condition: Between, text: str) -> bool:
    return all(
        (limit := loose_text(bound)) is not None
        and in_text_range(range_operator(is_open, lower), text, limit)
        for bound, is_open, lower in _bounds(condition)
    )


def _bounds(condition: Between) -> Iterator[tuple[str, bool, bool]]:
    """Each bound, whether it is open, and whether it is the lower one."""
    if condition.low is not None:
        yield condition.low, condition.low_open, True
    if condition.high is not None:
        yield condition.high, condition.high_open, False


def range_operator(is_open: bool, lower: bool) -> RangeOperator:
    """The operator of a Range with such a bound."""
    if lower:
        return "gt" if is_open else "gte"
    return "lt" if is_open else "lte"


def _text_holds(op: TextOperator, value: str, text: str) -> bool:
    if op == "prefix":
        return value.startswith(text)
    return text in value if op == "contains" else text.casefold() in value.casefold()
