"""From filters to the messages that spell them, for whoever writes requests."""

from __future__ import annotations

from typing import Final, assert_never

from pykyro.model.filter import And, Anything, Exact, Filter, In, Not, Or, Range
from pykyro.model.typed_filter import (
    Among,
    Between,
    Present,
    TextMatch,
    TextOperator,
    Typed,
    range_operator,
)
from pykyro.proto import kyrodb_pb2 as pb

_TEXT_OPERATORS: Final[dict[TextOperator, pb.TypedMatch.Operator]] = {
    "contains": pb.TypedMatch.CONTAINS,
    "icontains": pb.TypedMatch.ICONTAINS,
    "prefix": pb.TypedMatch.PREFIX,
}


def filter_message(condition: Filter) -> pb.MetadataFilter:
    """The message that spells `condition`.

    What a server that does not know types can be asked is said so that it understands it, with the types beside it.
    For anything else it finds nothing.
    """
    message = _message(condition)
    if _needs_types(condition):
        return pb.MetadataFilter(not_filter=pb.NotFilter(with_types=message))
    return message


def _needs_types(condition: Filter) -> bool:
    match condition:
        case And(parts) | Or(parts):
            return any(map(_needs_types, parts))
        case Not(part) if part is not None:
            return _needs_types(part)
        case TextMatch() | Present():
            return True
        case Between():
            return condition.strict or None not in (condition.low, condition.high)
        case Among():
            return condition.strict
        case _:
            return False


def _message(condition: Filter) -> pb.MetadataFilter:
    match condition:
        case Anything():
            return pb.MetadataFilter()
        case Exact(key, value):
            return pb.MetadataFilter(exact=pb.ExactMatch(key=key, value=value))
        case Range(key, op, bound):
            ranged = pb.RangeMatch(key=key) if op is None else pb.RangeMatch(key=key, **{op: bound})
            return pb.MetadataFilter(range=ranged)
        case In(key, values):
            return pb.MetadataFilter(in_match=pb.InMatch(key=key, values=values))
        case And(parts):
            return pb.MetadataFilter(and_filter=pb.AndFilter(filters=map(_message, parts)))
        case Or(parts):
            return pb.MetadataFilter(or_filter=pb.OrFilter(filters=map(_message, parts)))
        case Not(part):
            inner = None if part is None else _message(part)
            return pb.MetadataFilter(not_filter=pb.NotFilter(filter=inner))
        case Among() if not condition.strict:
            return _among(condition)
        case Between() if not _needs_types(condition):
            return _range(condition)
        case Among() | Between() | TextMatch() | Present():
            return pb.MetadataFilter(typed=_typed(condition))
        case _:
            assert_never(condition)


def _among(condition: Among) -> pb.MetadataFilter:
    if len(condition.operands) == 1:
        (operand,) = condition.operands
        exact = pb.ExactMatch(key=condition.key, value=operand[1:], type=operand[0])
        return pb.MetadataFilter(exact=exact)
    texts, types = [operand[1:] for operand in condition.operands], [one[0] for one in condition.operands]
    return pb.MetadataFilter(in_match=pb.InMatch(key=condition.key, values=texts, types="".join(types)))


def _range(condition: Between) -> pb.MetadataFilter:
    lower = condition.low is not None
    bound = condition.low if condition.low is not None else condition.high or ""
    op = range_operator(condition.low_open if lower else condition.high_open, lower)
    return pb.MetadataFilter(range=pb.RangeMatch(key=condition.key, type=bound[0], **{op: bound[1:]}))


def _typed(condition: Typed) -> pb.TypedMatch:
    match condition:
        case Among(key, operands):
            return pb.TypedMatch(
                key=key, operator=pb.TypedMatch.IN, operands=map(_operand, operands), strict=condition.strict
            )
        case Between(key):
            return pb.TypedMatch(
                key=key,
                operator=pb.TypedMatch.BETWEEN,
                low=None if condition.low is None else _operand(condition.low),
                high=None if condition.high is None else _operand(condition.high),
                low_open=condition.low_open,
                high_open=condition.high_open,
                strict=condition.strict,
            )
        case TextMatch(key, op, text):
            return pb.TypedMatch(key=key, operator=_TEXT_OPERATORS[op], operands=[_operand("t" + text)])
        case Present(key):
            return pb.TypedMatch(key=key, operator=pb.TypedMatch.EXISTS)


def _operand(operand: str) -> pb.TypedMatch.Operand:
    return pb.TypedMatch.Operand(text=operand[1:], type=operand[0])
