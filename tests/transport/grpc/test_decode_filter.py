"""Filter messages: each message means what the reference table of filter semantics says."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from pykyro.model.errors import InvalidArgument
from pykyro.model.filter import And, Anything, Exact, Filter, In, Not, Or, Range, names_a_condition
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.transport.grpc.decode_filter import decode_filter, search_filter

RED = pb.MetadataFilter(exact=pb.ExactMatch(key="colour", value="red"))
BIG = pb.MetadataFilter(range=pb.RangeMatch(key="size", gte="10"))
UNTYPED = pb.MetadataFilter()


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        (UNTYPED, Anything()),
        (RED, Exact("colour", "red")),
        (BIG, Range("size", "gte", "10")),
        (pb.MetadataFilter(range=pb.RangeMatch(key="s", lte="1")), Range("s", "lte", "1")),
        (pb.MetadataFilter(range=pb.RangeMatch(key="s", gt="")), Range("s", "gt", "")),
        (pb.MetadataFilter(range=pb.RangeMatch(key="s", lt="x")), Range("s", "lt", "x")),
        (pb.MetadataFilter(range=pb.RangeMatch(key="s")), Range("s", None)),
        (pb.MetadataFilter(in_match=pb.InMatch(key="c", values=["a", "b"])), In("c", ("a", "b"))),
        (pb.MetadataFilter(in_match=pb.InMatch(key="c")), In("c", ())),
        (
            pb.MetadataFilter(and_filter=pb.AndFilter(filters=[RED, BIG])),
            And((Exact("colour", "red"), Range("size", "gte", "10"))),
        ),
        (pb.MetadataFilter(and_filter=pb.AndFilter()), And(())),
        (pb.MetadataFilter(or_filter=pb.OrFilter(filters=[RED])), Or((Exact("colour", "red"),))),
        (pb.MetadataFilter(or_filter=pb.OrFilter()), Or(())),
        (pb.MetadataFilter(not_filter=pb.NotFilter(filter=RED)), Not(Exact("colour", "red"))),
        (pb.MetadataFilter(not_filter=pb.NotFilter()), Not(None)),
        (pb.MetadataFilter(not_filter=pb.NotFilter(filter=UNTYPED)), Not(Anything())),
    ],
)
def test_message_means(message: pb.MetadataFilter, meaning: Filter) -> None:
    assert decode_filter(message) == meaning


def test_legacy_entries_are_exact_matches() -> None:
    assert search_filter(None, {}) is None
    assert search_filter(UNTYPED, {}) is None
    assert search_filter(None, {"a": "1"}) == Exact("a", "1")
    assert search_filter(UNTYPED, {"a": "1"}) == Exact("a", "1")
    both = search_filter(None, {"a": "1", "b": "2"})
    assert isinstance(both, And)
    assert set(both.parts) == {Exact("a", "1"), Exact("b", "2")}


def test_legacy_entries_are_joined_to_the_filter() -> None:
    assert search_filter(RED, {"a": "1"}) == And((Exact("colour", "red"), Exact("a", "1")))


def nested(depth: int) -> pb.MetadataFilter:
    message = pb.MetadataFilter()
    message.CopyFrom(RED)
    for _ in range(depth - 1):
        message = pb.MetadataFilter(not_filter=pb.NotFilter(filter=message))
    return message


def test_filter_may_be_nested_so_deep_and_no_deeper() -> None:
    assert search_filter(nested(32), {}) is not None
    with pytest.raises(InvalidArgument, match="nested more than 32 levels"):
        search_filter(nested(33), {})


def test_filter_may_be_so_wide_and_no_wider() -> None:
    def wide(values: int) -> pb.MetadataFilter:
        return pb.MetadataFilter(in_match=pb.InMatch(key="k", values=[str(n) for n in range(values)]))

    assert search_filter(wide(4095), {}) is not None
    with pytest.raises(InvalidArgument, match="the maximum is 4096"):
        search_filter(wide(4096), {})


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (RED, True),
        (nested(3), True),
        (pb.MetadataFilter(or_filter=pb.OrFilter(filters=[UNTYPED, BIG])), True),
        (pb.MetadataFilter(in_match=pb.InMatch(key="c")), True),
        (UNTYPED, False),
        (pb.MetadataFilter(and_filter=pb.AndFilter()), False),
        (pb.MetadataFilter(and_filter=pb.AndFilter(filters=[UNTYPED])), False),
        (pb.MetadataFilter(not_filter=pb.NotFilter()), False),
        (
            pb.MetadataFilter(not_filter=pb.NotFilter(filter=pb.MetadataFilter(or_filter=pb.OrFilter()))),
            False,
        ),
    ],
)
def test_filter_that_looks_at_nothing_is_recognised(message: Message, named: bool) -> None:
    assert isinstance(message, pb.MetadataFilter)
    assert names_a_condition(decode_filter(message)) is named
