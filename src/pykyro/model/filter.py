"""Metadata filters: the syntax tree, and the rules every index must agree with.

A filter is a value: frozen, hashable and compared in full, so it can be part of a cache key.
`matches` evaluates one against one document's metadata; it is the definition, the indices are optimisations.

Exact, In and Range are of clients that know texts alone: they see the text form of every value. Parts that compare by
type are in pykyro.model.typed_filter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import FILTER_DEPTH_MAX, FILTER_NODES_MAX
from pykyro.model.number import RangeOperator, in_text_range
from pykyro.model.typed_filter import Among, Between, Present, TextMatch, Typed, holds


@dataclass(frozen=True, slots=True)
class Anything:
    """Matches every document: what a filter message with no type set means."""


@dataclass(frozen=True, slots=True)
class Exact:
    """The key is present and its value is equal, byte for byte."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Range:
    """The key is present and its value lies on the right side of `bound`.

    Both are compared as numbers when both are some (pykyro.model.number), otherwise as byte strings. `op` None
    (bound unset) asks only that the key is present.
    """

    key: str
    op: RangeOperator | None
    bound: str = ""


@dataclass(frozen=True, slots=True)
class In:
    """The key is present and its value is one of `values`; no values match nothing."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class And:
    """Every part matches; no parts match everything."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Some part matches; no parts match nothing."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not match (so it is true of a document without the key); no part matches nothing."""

    part: Filter | None


Filter: TypeAlias = Anything | Exact | Range | In | And | Or | Not | Typed


def matches(condition: Filter, metadata: Mapping[str, str]) -> bool:
    """Whether a document with this metadata satisfies `condition`."""
    match condition:
        case Anything():
            return True
        case Exact(key, value):
            return metadata.get(key) == value
        case In(key, values):
            return key in metadata and metadata[key] in values
        case Range():
            return _in_range(condition, metadata.get(condition.key))
        case Among() | Between() | TextMatch() | Present():
            return holds(condition, metadata)
        case And(parts):
            return all(matches(part, metadata) for part in parts)
        case Or(parts):
            return any(matches(part, metadata) for part in parts)
        case Not(part):
            return part is not None and not matches(part, metadata)
        case _:
            assert_never(condition)


def _in_range(condition: Range, value: str | None) -> bool:
    if value is None:
        return False
    return condition.op is None or in_text_range(condition.op, value, condition.bound)


def with_constraints(condition: Filter | None, constraints: Mapping[str, str]) -> Filter | None:
    """`condition` (None = everything) for those documents only that carry every entry of `constraints`.

    The entries come first, as Exact parts of one And. None when nothing at all is asked.
    """
    if isinstance(condition, Anything):
        condition = None
    if not constraints:
        return condition
    parts: tuple[Filter, ...] = tuple(Exact(key, value) for key, value in constraints.items())
    if isinstance(condition, And):
        parts += condition.parts
    elif condition is not None:
        parts += (condition,)
    return parts[0] if len(parts) == 1 else And(parts)


def names_a_condition(condition: Filter) -> bool:
    """Whether any part of the filter looks at a document at all.

    One that does not selects everything or nothing, which is what a caller passes who forgot to fill it in.
    """
    match condition:
        case Anything():
            return False
        case And(parts) | Or(parts):
            return any(names_a_condition(part) for part in parts)
        case Not(part):
            return part is not None and names_a_condition(part)
        case _:
            return True


def check_filter(condition: Filter) -> None:
    """Refuse a filter that costs too much to evaluate.

    Raises InvalidArgument when it is nested deeper than FILTER_DEPTH_MAX or when its nodes and listed values
    together are more than FILTER_NODES_MAX.
    """
    nodes = 0
    level: list[Filter] = [condition]
    depth = 0
    while level:
        depth += 1
        if depth > FILTER_DEPTH_MAX:
            raise InvalidArgument(
                f"filter is nested more than {FILTER_DEPTH_MAX} levels deep, the maximum", field="filter"
            )
        nodes += sum(1 + len(_listed(node)) for node in level)
        if nodes > FILTER_NODES_MAX:
            raise InvalidArgument(
                f"filter has {nodes} or more conditions and listed values; the maximum is {FILTER_NODES_MAX}",
                field="filter",
            )
        level = [part for node in level for part in _parts(node)]


def strict(condition: Filter) -> Filter:
    """The same filter, except that a text is never taken for a number where values are compared by type."""
    match condition:
        case Among() | Between():
            return condition if condition.strict else replace(condition, strict=True)
        case And(parts):
            return And(tuple(map(strict, parts)))
        case Or(parts):
            return Or(tuple(map(strict, parts)))
        case Not(part) if part is not None:
            return Not(strict(part))
        case _:
            return condition


def _listed(node: Filter) -> tuple[str, ...]:
    match node:
        case In(_, values) | Among(_, values):
            return values
        case _:
            return ()


def _parts(node: Filter) -> tuple[Filter, ...]:
    match node:
        case And(parts) | Or(parts):
            return parts
        case Not(part) if part is not None:
            return (part,)
        case _:
            return ()
