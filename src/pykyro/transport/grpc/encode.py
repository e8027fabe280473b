"""From answers to response bytes, written straight in protobuf's wire form.

A stored document's metadata already is field 4 of SearchResult and of QueryResponse (pykyro.model.metadata_wire),
and a vector's bytes already are a packed `repeated float`, so a response is put together from them without
building messages. tests/transport/grpc/test_encode.py holds the result against what protobuf reads from it.
Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Final

from pykyro.model.metadata_wire import varint
from pykyro.model.requests import Found, Kind, SearchResult, Tier
from pykyro.proto import kyrodb_pb2 as pb

_TAGGED_FLOAT: Final = struct.Struct("<cf")
_FLOAT: Final = struct.Struct("<f")

# A tag is field number << 3 | wire type; wire type 0 is a varint, 2 has a length, 5 is four bytes.
_RESULT, _DOC_ID, _SCORE, _EMBEDDING = b"\x0a", b"\x08", b"\x15", b"\x1a"
_TOTAL_FOUND, _LATENCY, _SEARCH_PATH, _SEARCH_ERROR = b"\x10", b"\x1d", b"\x20", b"\x2a"
_FOUND, _QUERY_DOC_ID, _QUERY_EMBEDDING, _SERVED_FROM = b"\x08\x01", b"\x10", b"\x1a", b"\x28"
_PARTIAL = varint(100 << 3) + b"\x01"
_EXACT = varint(101 << 3) + b"\x01"
_PLAN = varint(102 << 3 | 2)
_ROWS_EXAMINED = varint(103 << 3)
_MATCHED = varint(104 << 3)
_CACHE_KIND = varint(105 << 3)
_CACHE_MARGIN = varint(106 << 3 | 5)
_BULK_RESULT, _BULK_FOUND, _BULK_REQUESTED = b"\x0a", b"\x10", b"\x18"

SERVED_FROM: Final[dict[Tier, pb.QueryResponse.ServedFrom]] = {
    Tier.CACHE: pb.QueryResponse.CACHE,
    Tier.HOT: pb.QueryResponse.HOT_TIER,
    Tier.COLD: pb.QueryResponse.COLD_TIER,
}
CACHED: Final[dict[Kind, bytes]] = {
    Kind.EXACT: _CACHE_KIND + varint(pb.SearchResponse.EXACT),
    Kind.CERTIFIED: _CACHE_KIND + varint(pb.SearchResponse.CERTIFIED),
    Kind.RESCORED: _CACHE_KIND + varint(pb.SearchResponse.RESCORED),
    Kind.THRESHOLD: _CACHE_KIND + varint(pb.SearchResponse.THRESHOLD),
}
"""The cache_kind field of a SearchResponse."""


def search_path(tiers: frozenset[Tier]) -> pb.SearchResponse.SearchPath:
    """How a client is told which tiers were really searched."""
    if Tier.CACHE in tiers:
        return pb.SearchResponse.CACHE_HIT
    if Tier.HOT in tiers:
        return pb.SearchResponse.HOT_AND_COLD if Tier.COLD in tiers else pb.SearchResponse.HOT_TIER_ONLY
    return pb.SearchResponse.COLD_TIER_ONLY if Tier.COLD in tiers else pb.SearchResponse.UNKNOWN


def search_response(result: SearchResult, latency_ms: float, *, with_plan: bool = True) -> bytes:
    """The bytes of a SearchResponse.

    How rows were searched depends on all that is stored, other tenants' documents too. Without `with_plan` the client
    gets figures of its own documents alone: as found those it is given, as examined those that match, as exact
    what was asked for exactly.
    """
    out: list[bytes] = []
    for hit in result.hits:
        doc_id, metadata = varint(hit.doc_id), hit.metadata_wire
        length = len(_DOC_ID) + len(doc_id) + _TAGGED_FLOAT.size + len(metadata)
        vector = b""
        if hit.vector is not None:
            vector = _delimited(_EMBEDDING, hit.vector.tobytes())
            length += len(vector)
        score = _TAGGED_FLOAT.pack(_SCORE, hit.score)
        out += (_RESULT, varint(length), _DOC_ID, doc_id, score, vector, metadata)
    out += (
        _TOTAL_FOUND + varint(result.total_found if with_plan else len(result.hits)),
        _TAGGED_FLOAT.pack(_LATENCY, latency_ms),
        _SEARCH_PATH + varint(search_path(result.tiers)),
    )
    if result.note:
        out.append(_delimited(_SEARCH_ERROR, result.note.encode()))
    if not result.complete:
        out.append(_PARTIAL)
    if result.exact and (with_plan or result.exact_asked):
        out.append(_EXACT)
    if with_plan and result.plan:
        out.append(_delimited(_PLAN, result.plan.encode()))
    examined = result.examined if with_plan else result.matched
    out += (_ROWS_EXAMINED + varint(examined), _MATCHED + varint(result.matched))
    if result.cached is not None:
        out.append(CACHED[result.cached])
        if not math.isnan(result.margin):
            out.append(_CACHE_MARGIN + _FLOAT.pack(result.margin))
    return b"".join(out)


def query_response(doc_id: int, found: Found | None, *, include_embedding: bool) -> bytes:
    """The bytes of a QueryResponse; `doc_id` is the id that was asked for."""
    if found is None:
        return _QUERY_DOC_ID + varint(doc_id)
    out = [_FOUND, _QUERY_DOC_ID + varint(doc_id)]
    if include_embedding:
        out.append(_delimited(_QUERY_EMBEDDING, found.vector.tobytes()))
    out += (found.metadata_wire, _SERVED_FROM + varint(SERVED_FROM[found.tier]))
    return b"".join(out)


def bulk_query_response(results: Sequence[bytes], total_found: int) -> bytes:
    """The bytes of a BulkQueryResponse around QueryResponses that are bytes already."""
    out: list[bytes] = []
    for result in results:
        out += (_BULK_RESULT, varint(len(result)), result)
    out += (_BULK_FOUND + varint(total_found), _BULK_REQUESTED + varint(len(results)))
    return b"".join(out)


def _delimited(tag: bytes, body: bytes) -> bytes:
    return tag + varint(len(body)) + body
