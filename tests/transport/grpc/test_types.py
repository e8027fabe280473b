"""Values with types on the wire: what new and old programs make of each other's messages."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from tests.model.values import filters, metadata

from pykyro.client.decode import search_answer, stored_document
from pykyro.client.encode import insert_request
from pykyro.model.arguments import Schema
from pykyro.model.errors import InvalidArgument
from pykyro.model.filter import And, Exact, Filter, In, Not, Or, Range
from pykyro.model.filter_dict import parse_filter
from pykyro.model.metadata_wire import decode_metadata, encode_metadata, has_types
from pykyro.model.requests import Found, ScoredDocument, SearchResult, Tier
from pykyro.model.typed_filter import Among
from pykyro.model.typed_text import is_typed, tags_of
from pykyro.model.types import Document, Metric
from pykyro.model.values import value_of
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto.filter_messages import filter_message
from pykyro.service.access import ANYBODY
from pykyro.transport.grpc.decode_filter import decode_filter
from pykyro.transport.grpc.encode import query_response
from pykyro.transport.grpc.search_codec import GrpcSearchCodec
from pykyro.transport.grpc.writes import decode_insert

SCHEMA = Schema(3, Metric.COSINE)
ONES = np.ones(3, np.float32)


@given(metadata)
def test_metadata_in_wire_form_is_what_protobuf_reads(entries: dict[str, str]) -> None:
    wire = encode_metadata(entries)
    for message in (pb.SearchResult.FromString(wire), pb.QueryResponse.FromString(wire)):
        assert dict(message.metadata) == entries
        assert message.types == tags_of(entries)
    found = decode_metadata(wire)
    assert found == entries
    assert tags_of(found) == tags_of(entries)
    assert has_types(wire) == is_typed(entries)
    assert (b"\xa2\x06" in wire[-9:]) >= is_typed(entries)


@given(metadata)
def test_a_client_reads_the_values_that_were_stored(entries: dict[str, str]) -> None:
    wire, expected = encode_metadata(entries), repr({key: value_of(entries[key]) for key in sorted(entries)})
    answer = SearchResult([ScoredDocument(1, 0.5, None, wire)], 1, 1)
    payload = GrpcSearchCodec(SCHEMA).encode(answer, 0.0, with_plan=True)
    assert repr(dict(sorted(search_answer(payload)[0].metadata.items()))) == expected
    response = query_response(1, Found(1, ONES, wire, Tier.HOT), include_embedding=False)
    document = stored_document(pb.QueryResponse.FromString(response))
    assert document is not None
    assert repr(dict(sorted(document.metadata.items()))) == expected


def test_a_tag_of_a_later_version_leaves_a_text() -> None:
    response = pb.QueryResponse(found=True, doc_id=1, metadata={"a": "1", "b": "2"}, types="zi")
    document = stored_document(response)
    assert document is not None
    assert document.metadata == {"a": "1", "b": 2}


@given(metadata)
def test_an_insert_carries_the_types(entries: dict[str, str]) -> None:
    payload = insert_request(Document(7, ONES, entries), "")
    assert pb.InsertRequest.FromString(payload).types == tags_of(entries)
    found = decode_insert(payload, SCHEMA, ANYBODY).document.metadata
    assert found == entries
    assert tags_of(found) == tags_of(entries)


def test_reserved_keys_are_dropped_with_their_tags() -> None:
    # Capital letters come before underscores, and these before small letters.
    entries = {"a": "2", "__tenant_idx__": "1", "Z": "x"}
    request = pb.InsertRequest(doc_id=7, embedding=[1, 2, 3], metadata=entries, types="tti")
    found = decode_insert(request.SerializeToString(), SCHEMA, ANYBODY).document.metadata
    assert (dict(found), tags_of(found)) == ({"Z": "x", "a": "2"}, "ti")


@pytest.mark.parametrize(
    ("types", "words"),
    [
        ("i", "types has 1 tags, one for each entry of metadata is needed, which has 2"),
        ("itt", "types has 3 tags"),
        ("tz", "types gives metadata.b the tag 'z'; it must be one of tifbndlo"),
        ("ti", "metadata.b is no integer: ValueError: 'x' is no integer, got 'x'"),
        ("dt", "metadata.a is no time"),
        ("to", "metadata.b is no object"),
    ],
)
def test_types_that_do_not_fit_are_refused_naming_the_key(types: str, words: str) -> None:
    request = pb.InsertRequest(doc_id=7, embedding=[1, 2, 3], metadata={"a": "7", "b": "x"}, types=types)
    with pytest.raises(InvalidArgument, match=re.escape(words)):
        decode_insert(request.SerializeToString(), SCHEMA, ANYBODY)


# --- filters --------------------------------------------------------------------------------------


def _as_sent(condition: Filter) -> Filter:
    """One of nothing has no operand to carry a type, and a Range without an operator no bound."""
    match condition:
        case Among(key, (), False):
            return In(key, ())
        case Range(key, None):
            return Range(key, None)
        case And(parts):
            return And(tuple(map(_as_sent, parts)))
        case Or(parts):
            return Or(tuple(map(_as_sent, parts)))
        case Not(part) if part is not None:
            return Not(_as_sent(part))
        case _:
            return condition


@given(filters)
def test_a_filter_arrives_as_it_was_sent(condition: Filter) -> None:
    message = pb.MetadataFilter.FromString(filter_message(condition).SerializeToString())
    assert decode_filter(message) == _as_sent(condition)


def as_before(message: Message) -> Message:
    """What a server reads that knows no field from 100 on."""
    for field, value in list(message.ListFields()):
        if field.number >= 100:
            message.ClearField(field.name)
        elif field.message_type is not None:
            for inner in value if field.is_repeated else [value]:
                as_before(inner)
    return message


@pytest.mark.parametrize(
    ("condition", "meaning"),
    [
        ({"a": "x"}, Exact("a", "x")),
        ({"a": 5}, Exact("a", "5")),
        ({"a": True}, Exact("a", "true")),
        ({"a": {"$in": ["x", 1.5]}}, In("a", ("x", "1.5"))),
        ({"a": {"$gt": 9}}, Range("a", "gt", "9")),
        ({"a": {"$lte": "m"}}, Range("a", "lte", "m")),
        ({"a": {"$exists": False}}, Not(Range("a", None))),
        ({"a": {"$ne": "x"}, "b": "y"}, And((Not(Exact("a", "x")), Exact("b", "y")))),
    ],
)
def test_a_server_without_types_is_asked_what_it_was_ever_asked(
    condition: dict[str, Any], meaning: Filter
) -> None:
    message = filter_message(parse_filter(condition))
    assert decode_filter(as_before(message)) == meaning  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "condition",
    [
        {"a": {"$contains": "x"}},
        {"a": {"$not": {"$between": [1, 2]}}},
        {"$or": [{"b": "y"}, {"a": {"$prefix": "x"}}]},
        {"a.b": {"$exists": False}},
    ],
)
def test_what_such_a_server_cannot_be_asked_matches_nothing_there(condition: dict[str, Any]) -> None:
    message = filter_message(parse_filter(condition))
    assert decode_filter(as_before(message)) == Not(None)  # type: ignore[arg-type]


Match, Operand = pb.TypedMatch, pb.TypedMatch.Operand


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (pb.MetadataFilter(exact=pb.ExactMatch(key="k", value="x", type="i")), "filter.k is no integer"),
        (pb.MetadataFilter(exact=pb.ExactMatch(key="k", value="x", type="int")), "the type 'int'"),
        (
            pb.MetadataFilter(exact=pb.ExactMatch(key="k", value="1" * 4001, type="i")),
            "more than 4000 digits",
        ),
        (
            pb.MetadataFilter(in_match=pb.InMatch(key="k", values=["x"], types="tt")),
            "2 types for 1 values",
        ),
        (
            pb.MetadataFilter(range=pb.RangeMatch(key="k", gt="null", type="n")),
            "of one type that has an order",
        ),
        (pb.MetadataFilter(range=pb.RangeMatch(key="k", gt="nan", type="f")), "filter.k is no float"),
        (pb.MetadataFilter(typed=Match(key="k")), "the operator 0, which this server does not know"),
        (pb.MetadataFilter(typed=Match(key="k", operator=99)), "the operator 99"),  # type: ignore[arg-type]
        (pb.MetadataFilter(typed=Match(key="k", operator=Match.BETWEEN)), "bounds of one type"),
        (
            pb.MetadataFilter(
                typed=Match(
                    key="k",
                    operator=Match.BETWEEN,
                    low=Operand(text="1", type="i"),
                    high=Operand(text="x", type="t"),
                )
            ),
            "bounds of one type",
        ),
        (
            pb.MetadataFilter(
                typed=Match(key="k", operator=Match.PREFIX, operands=[Operand(text="1", type="i")])
            ),
            "prefix takes one text",
        ),
    ],
)
def test_a_filter_that_means_nothing_is_refused(message: pb.MetadataFilter, words: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(words)):
        decode_filter(message)


@given(st.binary(max_size=60))
def test_any_bytes_are_metadata_or_no_metadata(data: bytes) -> None:
    try:
        found = decode_metadata(data)
    except ValueError:
        return
    assert encode_metadata(found) is not None
