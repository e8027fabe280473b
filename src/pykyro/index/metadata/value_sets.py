"""Sets of the values of one key, by their places: runs of places, or a mark for each place.

What a filter asks of one key is decided among the values of the key, which are fewer than the rows, and only then
are the rows looked up, once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pykyro.index.metadata.typed_columns import Condition, Leaf, Scan, Span
from pykyro.model.filter import And, Exact, In, Or, Range

Runs: TypeAlias = list[tuple[int, int]]
"""First place and the one behind the last; ascending, with a gap between any two."""
Marks: TypeAlias = npt.NDArray[np.bool_]
ValueSet: TypeAlias = Runs | Marks


def one_key(condition: Condition) -> str | None:
    """The key that every condition is about, all joined by And and Or; None when there is no such key."""
    match condition:
        case Exact(key) | In(key) | Range(key):
            return key
        case And(parts) | Or(parts) if parts:
            first = one_key(parts[0])
            return first if all(one_key(part) == first for part in parts[1:]) else None
        case _:
            return None


def chosen(condition: Condition, leaf: Callable[[Leaf], ValueSet], size: int) -> ValueSet:
    """The values among `size` that satisfy a condition on one key, given those that satisfy each leaf."""
    match condition:
        case Exact() | In() | Range() | Span() | Scan():
            return leaf(condition)
        case And(parts):
            found = chosen(parts[0], leaf, size)
            for part in parts[1:]:
                found = intersection(found, chosen(part, leaf, size), size)
            return found
        case Or(parts):
            return union([chosen(part, leaf, size) for part in parts], size)
        case _:
            raise ValueError(f"{type(condition).__name__} is no condition on one key")


def runs_of(places: Sequence[int]) -> Runs:
    """The runs of these places, which ascend."""
    runs: Runs = []
    for place in places:
        if runs and runs[-1][1] == place:
            runs[-1] = (runs[-1][0], place + 1)
        else:
            runs.append((place, place + 1))
    return runs


def marks_of(values: ValueSet, size: int) -> Marks:
    """The set as a mark for each of `size` places."""
    if isinstance(values, np.ndarray):
        return values
    marks = np.zeros(size, dtype=np.bool_)
    for start, end in values:
        marks[start:end] = True
    return marks


def union(sets: Sequence[ValueSet], size: int) -> ValueSet:
    """The places in any of the sets."""
    runs: Runs = []
    for start, end in sorted(run for some in sets if isinstance(some, list) for run in some):
        if start >= end:
            continue
        if runs and start <= runs[-1][1]:
            runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
        else:
            runs.append((start, end))
    marked = [some for some in sets if isinstance(some, np.ndarray)]
    if not marked:
        return runs
    marks: Marks = np.logical_or.reduce([*marked, marks_of(runs, size)])
    return marks


def intersection(first: ValueSet, second: ValueSet, size: int) -> ValueSet:
    """The places in both sets."""
    if isinstance(first, np.ndarray) or isinstance(second, np.ndarray):
        return marks_of(first, size) & marks_of(second, size)
    runs: Runs = []
    at = 0
    for start, end in first:
        while at < len(second) and second[at][1] <= start:
            at += 1
        behind = at
        while behind < len(second) and second[behind][0] < end:
            runs.append((max(start, second[behind][0]), min(end, second[behind][1])))
            behind += 1
    return runs
