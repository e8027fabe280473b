"""What evaluating a filter costs, known before it runs: in microseconds of one processor, about.

A value in a list is a look-up, a range two of them, whatever it spans; what all conditions on one key leave of its
values is turned into rows once. Only a range whose bound is no number, on a key that has numbers, looks at all of
those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pykyro.index.metadata.typed_columns import Condition, Scan, Span, leaves_of
from pykyro.index.metadata.value_sets import one_key
from pykyro.model.errors import InvalidArgument
from pykyro.model.filter import And, Exact, Filter, In, Not, Or, Range
from pykyro.model.limits import FILTER_COST_US_MAX
from pykyro.model.number import parse_number
from pykyro.model.typed_filter import Among, Between, Present, TextMatch

_CONDITION_US: Final = 10
_LOOK_UP_US: Final = 8
_ROWS_PER_US: Final = 1500
"""Rows of a key that are turned into a set in a microsecond."""
_ALL_ROWS_PER_US: Final = 20_000
_NUMBERS_PER_US: Final = 700
_SCANNED_PER_US: Final = 1
"""Values in which a text is looked for in a microsecond."""

SizeOf = Callable[[str], tuple[int, int, int]]
"""Of a key: its values, those of them that are numbers, and the rows that have it."""


def cost_us(condition: Condition, rows: int, size_of: SizeOf) -> int:
    """The cost of a simplified filter on an index of so many rows."""
    key = one_key(condition)
    if key is not None:
        _, numbers, carriers = size_of(key)
        return _values_us(condition, numbers) + carriers // _ROWS_PER_US
    match condition:
        case And(parts) | Or(parts):
            groups: dict[str, list[Filter]] = {}
            total = _CONDITION_US
            for part in parts:
                about = one_key(part)
                if about is None:
                    total += cost_us(part, rows, size_of)
                else:
                    groups.setdefault(about, []).append(part)
            for about, some in groups.items():
                _, numbers, carriers = size_of(about)
                total += sum(_values_us(part, numbers) for part in some) + carriers // _ROWS_PER_US
            return total
        case Span(key) | Scan(key):
            values, numbers, carriers = size_of(key)
            return _leaf_us(condition, values, numbers) + carriers // _ROWS_PER_US
        case Among() | Between() | TextMatch() | Present():
            typed, plain = leaves_of(condition)
            total = rows // _ALL_ROWS_PER_US
            for leaf in (typed, plain):
                if leaf is not None:
                    values, numbers, carriers = size_of(typed.key if leaf is typed else condition.key)
                    total += _leaf_us(leaf, values, numbers) + carriers // _ROWS_PER_US
            return total
        case Not(part) if part is not None:
            return _CONDITION_US + rows // _ALL_ROWS_PER_US + cost_us(part, rows, size_of)
        case _:
            return _CONDITION_US


def _leaf_us(leaf: Condition, values: int, numbers: int) -> int:
    if isinstance(leaf, Scan):
        return _CONDITION_US + values // _SCANNED_PER_US
    return _CONDITION_US + 4 * _LOOK_UP_US if isinstance(leaf, Span) else _values_us(leaf, numbers)


def _values_us(condition: Condition, numbers: int) -> int:
    match condition:
        case And(parts) | Or(parts):
            return _CONDITION_US + sum(_values_us(part, numbers) for part in parts)
        case In(_, values):
            return _CONDITION_US + _LOOK_UP_US * len(values)
        case Range(_, op, bound) if op is not None and parse_number(bound) is None:
            return _CONDITION_US + 2 * _LOOK_UP_US + numbers // _NUMBERS_PER_US
        case Range():
            return _CONDITION_US + 2 * _LOOK_UP_US
        case Exact():
            return _CONDITION_US + _LOOK_UP_US
        case _:
            return _CONDITION_US


def check_cost(total_us: int, documents: int) -> None:
    """Refuse a filter that would hold a processor for too long.

    `total_us` is the sum over all tiers. Raises InvalidArgument when it is above FILTER_COST_US_MAX.
    """
    if total_us > FILTER_COST_US_MAX:
        raise InvalidArgument(
            f"filter would take about {total_us / 1e6:.1f} s of a processor on {documents} documents; the maximum is "
            f"{FILTER_COST_US_MAX / 1e6:.1f} s: name fewer keys, ranges and values, or ask in parts",
            field="filter",
        )
