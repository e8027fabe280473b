"""From MetadataFilter messages to the filters the index evaluates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pykyro.model.filter import And, Anything, Exact, Filter, In, Not, Or, Range, RangeOperator, check_filter
from pykyro.proto import kyrodb_pb2 as pb

_BOUNDS: Final[dict[str, RangeOperator]] = {"gte": "gte", "lte": "lte", "gt": "gt", "lt": "lt"}


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
            return Exact(message.exact.key, message.exact.value)
        case "range":
            return _range(message.range)
        case "in_match":
            return In(message.in_match.key, tuple(message.in_match.values))
        case "and_filter":
            return And(tuple(decode_filter(part) for part in message.and_filter.filters))
        case "or_filter":
            return Or(tuple(decode_filter(part) for part in message.or_filter.filters))
        case "not_filter":
            inner = message.not_filter
            return Not(decode_filter(inner.filter) if inner.HasField("filter") else None)
        case _:
            return Anything()


def _range(message: pb.RangeMatch) -> Range:
    bound = message.WhichOneof("bound")
    if bound is None:
        return Range(message.key, None)
    return Range(message.key, _BOUNDS[bound], getattr(message, bound))
