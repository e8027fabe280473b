"""How values with types are indexed, and what a filter about them asks of the columns.

The column of a key holds the text form of each row's value, one a row, as it always did. What is not text has tokens
(pykyro.model.tokens) in a second column, the typed one of its key: one of the value, one of each element of a list,
and the entries of dicts in the typed columns of their paths. A row may be there more than once. A row that is in the
typed column of a key has all its values there; of any other the text is the value.

The name of a typed column begins with a lone surrogate, which no key can hold: so neither a key of a client nor a
column of an earlier version is ever taken for one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from pyroaring import FrozenBitMap

from pykyro.model.filter import And, Exact, Filter, In, Not, Or, Range, matches
from pykyro.model.tokens import entries_of, kind_of, loose_text, operand_token
from pykyro.model.typed_filter import Among, Between, Present, TextMatch, Typed, range_operator

TYPED: Final = "\ud800"
_TEXT: Final = "t"
_LAST: Final = 0x10FFFF


@dataclass(frozen=True, slots=True)
class Span:
    """The text lies between two, as byte strings; None is no bound, and an open end does not belong to it."""

    key: str
    low: str | None
    high: str | None
    low_open: bool = False
    high_open: bool = False

    def holds(self, text: str) -> bool:
        """Whether a text lies in the span."""
        above = self.low is None or (self.low < text if self.low_open else self.low <= text)
        return above and (self.high is None or (text < self.high if self.high_open else text <= self.high))


@dataclass(frozen=True, slots=True)
class Scan:
    """The text has `needle` in it, which is folded if `folded`. Of tokens the texts are asked alone."""

    key: str
    needle: str
    folded: bool

    def holds(self, text: str) -> bool:
        """Whether a text, or the text of a token, has it."""
        if is_typed_column(self.key):
            if not text.startswith(_TEXT):
                return False
            text = text[1:]
        return self.needle in (text.casefold() if self.folded else text)


Leaf: TypeAlias = Exact | In | Range | Span | Scan
"""A condition on one column."""
Condition: TypeAlias = Filter | Span | Scan


def is_typed_column(name: str) -> bool:
    """Whether a column is the typed one of a key."""
    return name.startswith(TYPED)


def typed_entries(metadata: Mapping[str, str]) -> list[tuple[str, str]]:
    """What a row has in typed columns: name and token."""
    return [(TYPED + path, token) for path, token in entries_of(metadata)]


def leaf_holds(condition: Condition, key: str, text: str) -> bool:
    """Whether a text in the column of a key satisfies a condition on that column."""
    if isinstance(condition, Span | Scan):
        return condition.holds(text)
    return matches(condition, {key: text})


def without_types(condition: Filter, has_typed: Callable[[str], bool]) -> Filter:
    """The same filter for an index, said as clients without types say it where the index has no typed column of the
    key."""
    match condition:
        case Among(key) if not has_typed(key):
            return In(key, _texts(condition))
        case Between(key) if not has_typed(key) and kind_of(condition.low or condition.high or "") != _TEXT:
            return _loose_range(condition) or In(key, ())
        case And(parts):
            return And(tuple(without_types(part, has_typed) for part in parts))
        case Or(parts):
            return Or(tuple(without_types(part, has_typed) for part in parts))
        case Not(part) if part is not None:
            return Not(without_types(part, has_typed))
        case _:
            return condition


def evaluate_typed(
    condition: Typed,
    on_key: Callable[[str, Condition], FrozenBitMap],
    remembered: Callable[[Filter], FrozenBitMap],
    rows_of: Callable[[str], tuple[int, bool]],
) -> FrozenBitMap:
    """The rows a typed condition matches, given those that match a condition on one column, those that match a filter
    that is asked again and again, and how many entries a column has and whether they are of as many rows."""
    typed_leaf, plain = leaves_of(condition)
    with_types, of_one_value = rows_of(typed_leaf.key)
    if plain is None or not (with_key := rows_of(condition.key)[0]):
        return on_key(typed_leaf.key, typed_leaf)
    if not with_types:
        return on_key(condition.key, plain)
    typed = on_key(typed_leaf.key, typed_leaf)
    # Often a key has a type in all rows, and then no text is left to look at. A typed column has rows that have not
    # the key itself only when the key is a path.
    if of_one_value and with_types == with_key and "." not in condition.key:
        return typed
    texts = remembered(And((Range(condition.key, None), Not(Range(typed_leaf.key, None)))))
    return typed | (on_key(condition.key, plain) & texts) if texts else typed


def leaves_of(condition: Typed) -> tuple[Leaf, Condition | None]:
    """What a condition asks of the typed column of its key, and of the texts of the rows that are not in that one;
    None where no text can match."""
    key, typed = condition.key, TYPED + condition.key
    match condition:
        case Among(_, operands):
            texts = _texts(condition)
            return In(typed, tuple(map(operand_token, operands))), In(key, texts) if texts else None
        case Between():
            return _typed_span(typed, condition), _plain_range(key, condition)
        case TextMatch(_, "prefix", text):
            behind = _behind_prefix(text)
            plain = Span(key, text, behind, high_open=True)
            return Span(typed, _TEXT + text, _behind_prefix(_TEXT + text), high_open=True), plain
        case TextMatch(_, op, text):
            folded = op == "icontains"
            needle = text.casefold() if folded else text
            return Scan(typed, needle, folded), Scan(key, needle, folded)
        case Present():
            return Range(typed, None), Range(key, None)


def _texts(condition: Among) -> tuple[str, ...]:
    """The texts that are equal to an operand."""
    found = []
    for operand in condition.operands:
        text = operand[1:] if operand[0] == _TEXT else None if condition.strict else loose_text(operand)
        if text is not None:
            found.append(text)
    return tuple(found)


def _plain_range(key: str, condition: Between) -> Condition | None:
    if kind_of(condition.low or condition.high or "") == _TEXT:
        low = None if condition.low is None else condition.low[1:]
        high = None if condition.high is None else condition.high[1:]
        return Span(key, low, high, condition.low_open, condition.high_open)
    return _loose_range(condition)


def _loose_range(condition: Between) -> Filter | None:
    """The texts that clients without types would find in a range of numbers."""
    ranges: list[Filter] = []
    for bound, is_open, lower in (
        (condition.low, condition.low_open, True),
        (condition.high, condition.high_open, False),
    ):
        if bound is not None:
            text = loose_text(bound)
            if text is None or condition.strict:
                return None
            ranges.append(Range(condition.key, range_operator(is_open, lower), text))
    return ranges[0] if len(ranges) == 1 else And(tuple(ranges))


def _typed_span(typed: str, condition: Between) -> Span:
    kind = kind_of(condition.low or condition.high or "")
    low, low_open = kind, False
    high, high_open = chr(ord(kind) + 1), True
    if condition.low is not None:
        low, low_open = operand_token(condition.low), condition.low_open
    if condition.high is not None:
        high, high_open = operand_token(condition.high), condition.high_open
    return Span(typed, low, high, low_open, high_open)


def _behind_prefix(text: str) -> str | None:
    """The first text behind all that begin with this one; None when there is none."""
    kept = text.rstrip(chr(_LAST))
    return kept[:-1] + chr(ord(kept[-1]) + 1) if kept else None
