"""A filter said with fewer conditions: it matches what it matched, and costs less.

Most of what a filter can repeat about one key comes to a few conditions. Of many ranges in one direction only the
narrowest counts where all must hold, and the widest where one must. So thousands of ranges cost what nine cost, in
every segment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import isnan
from typing import Final, TypeAlias

from pykyro.model.filter import And, Exact, Filter, In, Not, Or, Range
from pykyro.model.number import ExactOrder, RangeOperator, exact_order, parse_number

Leaf: TypeAlias = Exact | In | Range
_LEAST_OUTSIDE: Final = frozenset[RangeOperator | None](("gte", "gt"))
_STRICT: Final = frozenset[RangeOperator | None](("gt", "lt"))


def simplified(condition: Filter) -> Filter:
    """The same filter with as few conditions as can be told from its text alone. O(n log n) for n conditions."""
    match condition:
        case And(parts):
            return _joined(parts, any_of=False)
        case Or(parts):
            return _joined(parts, any_of=True)
        case Not(part) if part is not None:
            return Not(simplified(part))
        case _:
            return condition


def _joined(parts: Iterable[Filter], *, any_of: bool) -> Filter:
    same: type[And | Or] = Or if any_of else And
    leaves: dict[str, list[Leaf]] = {}
    denied: list[Filter] = []
    others: dict[Filter, None] = {}
    for part in _flat(map(simplified, parts), same):
        if isinstance(part, Exact | In | Range):
            leaves.setdefault(part.key, []).append(part)
        elif isinstance(part, Not) and part.part is not None:
            denied.append(part.part)
        else:
            others[part] = None
    found: list[Filter] = [leaf for group in leaves.values() for leaf in _fewer(group, any_of=any_of)]
    if len(denied) > 1:
        # Not one of them holds where not all of them do, and the other way round.
        found.append(Not(_joined(denied, any_of=not any_of)))
    else:
        found += map(Not, denied)
    found += others
    return found[0] if len(found) == 1 else same(tuple(found))


def _flat(parts: Iterable[Filter], same: type[And | Or]) -> Iterator[Filter]:
    """The parts, with those of parts that are joined in the same way. They are simplified, so one level is all."""
    for part in parts:
        if isinstance(part, same):
            yield from part.parts
        else:
            yield part


def _fewer(leaves: list[Leaf], *, any_of: bool) -> Iterator[Leaf]:
    """The conditions about one key, joined."""
    if len(leaves) == 1:
        yield leaves[0]
        return
    listed = [leaf for leaf in leaves if not isinstance(leaf, Range)]
    if any_of and len(listed) > 1:
        values = (leaf.values if isinstance(leaf, In) else (leaf.value,) for leaf in listed)
        yield In(listed[0].key, tuple(dict.fromkeys(value for some in values for value in some)))
    else:
        yield from dict.fromkeys(listed)
    groups: dict[tuple[bool, str], list[Range]] = {}
    for leaf in leaves:
        if isinstance(leaf, Range):
            groups.setdefault((leaf.op in _LEAST_OUTSIDE, _kind_of(leaf)), []).append(leaf)
    for (lower, kind), ranges in groups.items():
        # The narrowest of lower bounds is the largest, of upper bounds the smallest; the widest the reverse.
        yield from _extreme(ranges, kind, largest=lower != any_of)


def _kind_of(leaf: Range) -> str:
    """How the bound compares: with numbers as a number, with numbers never, as a text always; or not at all."""
    if leaf.op is None:
        return "present"
    number = parse_number(leaf.bound)
    if number is None:
        return "text"
    return "nan" if isnan(number) else "number"


def _extreme(ranges: list[Range], kind: str, *, largest: bool) -> Iterator[Range]:
    """Those of the ranges, all in one direction, that say what all of them say together.

    Of numbers there may be two: one for values that are numbers and one for texts, which compare in another order.
    """
    if kind == "present":
        yield ranges[0]
        return
    lower = ranges[0].op in _LEAST_OUTSIDE
    best = max if largest else min

    def strictness(leaf: Range) -> bool:
        # Of equal bounds the strict one is the larger lower bound, and the smaller upper bound.
        return (leaf.op in _STRICT) == lower

    def by_text(leaf: Range) -> tuple[str, bool]:
        return leaf.bound, strictness(leaf)

    def by_number(leaf: Range) -> tuple[ExactOrder, bool]:
        return exact_order(leaf.bound), strictness(leaf)

    as_text = best(ranges, key=by_text)
    yield as_text
    if kind == "number":
        as_number = best(ranges, key=by_number)
        if as_number != as_text:
            yield as_number
