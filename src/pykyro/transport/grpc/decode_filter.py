"""From MetadataFilter messages to the filters the index evaluates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pykyro.model.errors import InvalidArgument
from pykyro.model.filter import And, Anything, Exact, Filter, In, Not, Or, Range, check_filter
from pykyro.model.number import RangeOperator
from pykyro.model.tokens import kind_of
from pykyro.model.typed_filter import ORDERED, Among, Between, Present, TextMatch, TextOperator
from pykyro.model.typed_text import CLASSES, TEXT
from pykyro.model.values import check_operand_integer, checked_value
from pykyro.proto import kyrodb_pb2 as pb

_BOUNDS: Final[dict[str, RangeOperator]] = {"gte": "gte", "lte": "lte", "gt": "gt", "lt": "lt"}

_TEXT_OPERATORS: Final[dict[int, TextOperator]] = {
    pb.TypedMatch.CONTAINS: "contains",
    pb.TypedMatch.ICONTAINS: "icontains",
    pb.TypedMatch.PREFIX: "prefix",
}


def search_filter(message: pb.MetadataFilter | None, entries: Mapping[str, str]) -> Filter | None:
    """The filter of a search: `message` AND every one of `entries`, the older way to filter.

    None when nothing is asked. Raises InvalidArgument for a filter too deep or too wide.
    """
    if message is None and not entries:
        return None
    parts: list[Filter] = [] if message is None else [decode_filter(message)]
    exact = tuple(Exact(key, value) for key, value in entries.items())
    if exact:
        parts.append(exact[0] if len(exact) == 1 else And(exact))
    wanted = [part for part in parts if not isinstance(part, Anything)]
    if not wanted:
        return None
    joined = wanted[0] if len(wanted) == 1 else And(tuple(wanted))
    check_filter(joined)
    return joined


def decode_filter(message: pb.MetadataFilter) -> Filter:
    """The filter that `message` spells; a message without a type matches everything.

    Its depth is bounded by the parser's own limit on nesting, its cost is not bounded: see `check_filter`.
    """
    match message.WhichOneof("filter_type"):
        case "exact":
            exact = message.exact
            if exact.type:
                return Among(exact.key, (_operand(exact.key, exact.type, exact.value),))
            return Exact(exact.key, exact.value)
        case "range":
            return _range(message.range)
        case "in_match":
            return _in(message.in_match)
        case "typed":
            return _typed(message.typed)
        case "and_filter":
            return And(tuple(decode_filter(part) for part in message.and_filter.filters))
        case "or_filter":
            return Or(tuple(decode_filter(part) for part in message.or_filter.filters))
        case "not_filter":
            inner = message.not_filter
            if inner.HasField("with_types"):
                return decode_filter(inner.with_types)
            return Not(decode_filter(inner.filter) if inner.HasField("filter") else None)
        case _:
            return Anything()


def _range(message: pb.RangeMatch) -> Filter:
    bound = message.WhichOneof("bound")
    if bound is None:
        return Range(message.key, None)
    if message.type:
        limit = _operand(message.key, message.type, getattr(message, bound))
        if bound in ("gte", "gt"):
            return _between(Between(message.key, limit, None, low_open=bound == "gt"))
        return _between(Between(message.key, None, limit, high_open=bound == "lt"))
    return Range(message.key, _BOUNDS[bound], getattr(message, bound))


def _in(message: pb.InMatch) -> Filter:
    if not message.types:
        return In(message.key, tuple(message.values))
    if len(message.types) != len(message.values):
        raise InvalidArgument(
            f"filter on {message.key[:200]!r} has {len(message.types)} types for {len(message.values)} values",
            field="filter",
        )
    pairs = zip(message.types, message.values)
    return Among(message.key, tuple(_operand(message.key, tag, text) for tag, text in pairs))


def _typed(message: pb.TypedMatch) -> Filter:
    key, operator = message.key, message.operator
    operands = tuple(_operand(key, one.type, one.text) for one in message.operands)
    if operator == pb.TypedMatch.IN:
        return Among(key, operands, message.strict)
    if operator == pb.TypedMatch.EXISTS:
        return Present(key)
    if operator == pb.TypedMatch.BETWEEN:
        low, high = (
            _operand(key, end.type, end.text) if present else None
            for end, present in (
                (message.low, message.HasField("low")),
                (message.high, message.HasField("high")),
            )
        )
        return _between(Between(key, low, high, message.low_open, message.high_open, message.strict))
    op = _TEXT_OPERATORS.get(operator)
    if op is None:
        raise InvalidArgument(
            f"filter on {key[:200]!r} has the operator {operator}, which this server does not know",
            field="filter",
        )
    if len(operands) != 1 or operands[0][0] != TEXT:
        raise InvalidArgument(f"filter on {key[:200]!r}: {op} takes one text", field="filter")
    return TextMatch(key, op, operands[0][1:])


def _between(condition: Between) -> Between:
    """`condition` itself, when its bounds can be compared."""
    kinds = {kind_of(bound) for bound in (condition.low, condition.high) if bound is not None}
    if len(kinds) != 1 or not kinds <= set(ORDERED):
        raise InvalidArgument(
            f"filter on {condition.key[:200]!r} needs bounds of one type that has an order: text, integer or float, "
            "bool, time",
            field="filter",
        )
    return condition


def _operand(key: str, tag: str, text: str) -> str:
    kind, field = CLASSES.get(tag), f"filter.{key[:200]}"
    if kind is None:
        raise InvalidArgument(
            f"{field} has the type {tag[:40]!r}; it must be one of {''.join(CLASSES)}", field="filter"
        )
    if tag == "i":
        check_operand_integer(text, field)
    elif tag != TEXT:
        checked_value(kind(text), field)
    return tag + text
