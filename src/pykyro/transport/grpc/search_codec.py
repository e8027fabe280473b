"""Searches between bytes and typed values: a SearchRequest as it comes in, a SearchResponse as it goes out.

A response is written straight in protobuf's wire form. A stored document's metadata already is field 4 of a
SearchResult (pykyro.model.metadata_wire), and a vector's bytes already are a packed `repeated float`, so it is put
together from them without building messages. tests/transport/grpc/test_encode.py holds the result against what
protobuf reads from it. Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Final

import numpy as np
from google.protobuf.message import DecodeError

from pykyro.model.arguments import Schema, checked_namespace
from pykyro.model.arrangement import Arrangement, checked_arrangement
from pykyro.model.distance import check_vector
from pykyro.model.errors import InvalidArgument
from pykyro.model.freshness import Freshness
from pykyro.model.legs import LEGS, RRF, Legs, checked_legs, stand_in
from pykyro.model.limits import DIMENSION_MAX, EF_SEARCH_MAX, K_MAX
from pykyro.model.metadata_wire import SHORT_VARINTS, varint
from pykyro.model.requests import (
    CachedKind,
    FusionEnd,
    LegHit,
    SearchRequest,
    SearchResult,
    Tier,
    check_search,
)
from pykyro.model.typed_text import tag_of
from pykyro.model.types import DOC_ID_BITS, EVERYTHING, Vector
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto import kyrodb_wire_pb2 as wire
from pykyro.service.access import Caller
from pykyro.transport.grpc import decode
from pykyro.transport.grpc.decode_filter import search_filter
from pykyro.transport.grpc.decode_options import READ_OPTIONS_MARK, freshness_in

_PLAIN_BYTES_MAX: Final = 256
"""Of a request besides its vector: what is larger holds a filter, and takes long to decode."""
_TAGGED_FLOAT: Final = struct.Struct("<cf")
_FLOAT: Final = struct.Struct("<f")

# A tag is field number << 3 | wire type; wire type 0 is a varint, 2 has a length, 5 is four bytes.
_RESULT, _DOC_ID, _SCORE, _EMBEDDING = b"\x0a", b"\x08", b"\x15", b"\x1a"
_TOTAL_FOUND, _LATENCY, _SEARCH_PATH, _SEARCH_ERROR = b"\x10", b"\x1d", b"\x20", b"\x2a"
_PARTIAL = varint(100 << 3) + b"\x01"
_EXACT = varint(101 << 3) + b"\x01"
_PLAN = varint(102 << 3 | 2)
_ROWS_EXAMINED = varint(103 << 3)
_MATCHED = varint(104 << 3)
_CACHE_KIND = varint(105 << 3)
_CACHE_MARGIN = varint(106 << 3 | 5)
_POSITION = varint(130 << 3)
_FUSION_END = varint(155 << 3)
_PRECISE_SCORE = varint(150 << 3 | 1)

_FUSION_ENDS: Final[dict[FusionEnd, bytes]] = {
    "exhausted": _FUSION_END + varint(pb.SearchResponse.EXHAUSTED),
    "proved": _FUSION_END + varint(pb.SearchResponse.PROVED),
    "bounded": _FUSION_END + varint(pb.SearchResponse.BOUNDED),
    "as_asked": _FUSION_END + varint(pb.SearchResponse.AS_ASKED),
}
CACHED: Final[dict[CachedKind, bytes]] = {
    CachedKind.EXACT: _CACHE_KIND + varint(pb.SearchResponse.EXACT),
    CachedKind.CERTIFIED: _CACHE_KIND + varint(pb.SearchResponse.CERTIFIED),
    CachedKind.RESCORED: _CACHE_KIND + varint(pb.SearchResponse.RESCORED),
    CachedKind.THRESHOLD: _CACHE_KIND + varint(pb.SearchResponse.THRESHOLD),
}
"""The cache_kind field of a SearchResponse."""
SEARCH_PATHS: Final[dict[frozenset[Tier], pb.SearchResponse.SearchPath]] = {
    frozenset(): pb.SearchResponse.UNKNOWN,
    frozenset({Tier.CACHE}): pb.SearchResponse.CACHE_HIT,
    frozenset({Tier.HOT}): pb.SearchResponse.HOT_TIER_ONLY,
    frozenset({Tier.COLD}): pb.SearchResponse.COLD_TIER_ONLY,
    frozenset({Tier.HOT, Tier.COLD}): pb.SearchResponse.HOT_AND_COLD,
}
"""How a client is told which tiers were really searched."""


class GrpcSearchCodec:
    """Decodes and encodes the searches of one database."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._shown_id_bits = 0 if schema.text_ids else DOC_ID_BITS
        """Where ids are text, the id is in the metadata of a hit, and its number belongs to its key."""
        self._no_vector = stand_in(schema.dimension)
        self.plain_bytes_max = 4 * schema.dimension + _PLAIN_BYTES_MAX

    freshness_mark = READ_OPTIONS_MARK

    def freshness(self, payload: bytes) -> Freshness | None:
        """How fresh the search in these bytes is to be, which hold the mark. Raises InvalidArgument."""
        return freshness_in(payload)

    def decode(self, payload: bytes, caller: Caller) -> SearchRequest:
        """The search a SearchRequest asks for. Raises InvalidArgument, whose message names field, value and bound."""
        request, vector = self._parsed(payload)
        square = float(np.vdot(vector, vector))
        # What is finite and has a length is sound in every metric.
        if len(vector) != self._schema.dimension or not 0.0 < square < math.inf:
            _check_vector(vector, self._schema)
        return _typed(request, vector, caller, self._no_vector)

    def decode_many(self, searches: Sequence[tuple[bytes, Caller]]) -> list[SearchRequest | InvalidArgument]:
        """`decode` for each, the error of a refused one in its place; many vectors are checked all at once."""
        decoded: list[SearchRequest | InvalidArgument] = []
        if len(searches) < decode.CHECKED_TOGETHER_FROM:
            for payload, caller in searches:
                try:
                    decoded.append(self.decode(payload, caller))
                except InvalidArgument as fault:
                    decoded.append(fault)
            return decoded
        parsed = [decode.or_fault(self._parsed, payload) for payload, _ in searches]
        checked = decode.checked(parsed, self._schema, _check_vector)
        for (_, caller), one in zip(searches, checked, strict=True):
            decoded.append(
                one
                if isinstance(one, InvalidArgument)
                else decode.or_fault(_typed, *one, caller, self._no_vector)
            )
        return decoded

    def _parsed(self, payload: bytes) -> tuple[wire.SearchRequest, Vector]:
        try:
            request = wire.SearchRequest.FromString(payload)
        except DecodeError:
            raise InvalidArgument(
                f"the {len(payload)} bytes of the request are no valid SearchRequest"
            ) from None
        # See decode.came_whole: bytes are left over when the vector did not come in one piece.
        request.DiscardUnknownFields()
        if request.ByteSize() == len(payload) and len(request.query_embedding) == 4 * self._schema.dimension:
            return request, np.frombuffer(request.query_embedding, np.float32)
        components = decode.parse(pb.SearchRequest, payload).query_embedding
        if not components and request.HasField("text"):
            return request, self._no_vector
        return request, np.array(components, np.float32)

    def encode(self, result: SearchResult, latency_ms: float, *, with_plan: bool) -> bytes:
        """The bytes of a SearchResponse.

        How rows were searched depends on all that is stored, other tenants' documents too. Without `with_plan` the
        client gets figures of its own documents alone: as found those it is given, as examined those that match, as
        exact what was asked for exactly.
        """
        out: list[bytes] = []
        short, shown, by_legs = SHORT_VARINTS, self._shown_id_bits, bool(result.legs) or result.grouped
        for hit in result.hits:
            metadata, vector = hit.metadata_wire, b""
            number = hit.doc_id & shown
            doc_id = short[number] if number < len(short) else varint(number)
            length = 6 + len(doc_id) + len(metadata)  # two tags and the score
            if hit.vector is not None:
                vector = _EMBEDDING + varint(hit.vector.nbytes) + hit.vector.tobytes()
                length += len(vector)
            if hit.position:
                position = _POSITION + varint(hit.position)
                metadata = metadata + position
                length += len(position)
            if by_legs and isinstance(hit, LegHit):
                said = _said_of(hit)
                metadata += said
                length += len(said)
            size = short[length] if length < len(short) else varint(length)
            out += (_RESULT, size, _DOC_ID, doc_id, _TAGGED_FLOAT.pack(_SCORE, hit.score), vector, metadata)
        found = result.total_found if with_plan else len(result.hits)
        examined, matched = result.examined if with_plan else result.matched, result.matched
        out += (
            _TOTAL_FOUND,
            short[found] if found < len(short) else varint(found),
            _TAGGED_FLOAT.pack(_LATENCY, latency_ms),
            _SEARCH_PATH,
            short[SEARCH_PATHS[result.tiers]],
        )
        if result.note:
            note = result.note.encode()
            out += (_SEARCH_ERROR, varint(len(note)), note)
        if result.left_out:
            out.append(_PARTIAL)
        if result.exact and (with_plan or result.exact_asked):
            out.append(_EXACT)
        if with_plan and result.plan:
            plan = result.plan.encode()
            out += (_PLAN, short[len(plan)] if len(plan) < len(short) else varint(len(plan)), plan)
        out += (
            _ROWS_EXAMINED,
            short[examined] if examined < len(short) else varint(examined),
            _MATCHED,
            short[matched] if matched < len(short) else varint(matched),
            _POSITION,
            varint(result.position),
        )
        if result.fusion:
            out.append(_FUSION_ENDS[result.fusion])
        if result.cached is not None:
            out.append(CACHED[result.cached])
            if not math.isnan(result.margin):
                out.append(_CACHE_MARGIN + _FLOAT.pack(result.margin))
        return b"".join(out)


def wants_inline_errors(payload: bytes) -> bool:
    """Whether a SearchRequest that failed asked for its failure as an answer."""
    try:
        return wire.SearchRequest.FromString(payload).inline_errors
    except DecodeError:
        return False


def _typed(request: wire.SearchRequest, vector: Vector, caller: Caller, no_vector: Vector) -> SearchRequest:
    """`no_vector` is what stands for the vector of a search that has none."""
    # Most searches are plainly sound; of the others the model says what is wrong.
    if (
        not 0 < request.k <= K_MAX
        or request.ef_search > EF_SEARCH_MAX
        or request.min_score != request.min_score
    ):
        check_search(request.k, request.ef_search, request.min_score)
    condition, scope, legs = None, EVERYTHING, None
    if (
        request.HasField("text")
        or request.HasField("fusion")
        or request.highlight
        or request.explain
        or request.HasField("grouping")
        or request.HasField("mmr")
    ):
        legs = _legs(request, by_vector=vector is not no_vector)
    if request.HasField("filter") or request.metadata_filters:
        message = request.filter if request.HasField("filter") else None
        condition = search_filter(message, request.metadata_filters)
    if request.namespace or caller.tenant is not None:
        scope = caller.scope(checked_namespace(request.namespace))
    return SearchRequest(
        vector=vector,
        k=request.k,
        ef_search=request.ef_search,
        filter=condition,
        scope=scope,
        min_score=request.min_score,
        exact=request.exact,
        include_vectors=request.include_embeddings,
        include_metadata=not request.exclude_metadata,
        include_positions=request.include_positions,
        legs=legs,
    )


def _legs(request: wire.SearchRequest, *, by_vector: bool) -> Legs | None:
    arrangement = _arrangement(request)
    if not request.HasField("text"):
        if by_vector and not (request.HasField("fusion") or request.highlight or request.explain):
            return Legs(None, True, arrangement=arrangement)
        raise InvalidArgument(
            "fusion, highlight and explain are for searches by words: give a text too", field="text"
        )
    fusion, fuse = request.fusion, None
    if request.HasField("fusion") and (fusion.method or fusion.weights):
        fuse = {fusion.method or RRF: dict(fusion.weights)}
    depth: int | dict[str, int] = fusion.depth
    if fusion.depths:
        depth = {**dict.fromkeys(LEGS, fusion.depth), **fusion.depths}
    return checked_legs(
        request.text,
        by_vector=by_vector,
        fuse=fuse,
        depth=depth,
        highlight=request.highlight,
        explain=request.explain,
        arrangement=arrangement,
    )


def _arrangement(request: wire.SearchRequest) -> Arrangement | None:
    mmr: dict[str, float] | None = None
    if request.HasField("mmr"):
        mmr = {"candidates": request.mmr.candidates}
        if request.mmr.HasField("relevance"):
            mmr["relevance"] = request.mmr.relevance
    if not request.HasField("grouping"):
        return checked_arrangement(None, 0, mmr, request.k)
    if not request.grouping.key:
        raise InvalidArgument("grouping must name a key", field="grouping.key")
    return checked_arrangement(request.grouping.key, request.grouping.size, mmr, request.k)


def _said_of(hit: LegHit) -> bytes:
    """The fields of a SearchResult that a search by words or in groups has beside the others."""
    more = pb.SearchResult(
        legs=[pb.LegScore(leg=each.leg, rank=each.rank, score=each.score) for each in hit.legs],
        highlights=[pb.Highlight(key=span.key, start=span.start, end=span.end) for span in hit.highlights],
    )
    if hit.group is not None:
        more.group, more.group_type = hit.group, tag_of(hit.group)
    return _PRECISE_SCORE + struct.pack("<d", hit.score) + more.SerializeToString()


def _check_vector(vector: Vector, schema: Schema) -> None:
    found = vector.shape[0]
    if 0 < found <= DIMENSION_MAX and found != schema.dimension:
        raise InvalidArgument(
            f"query dimension mismatch: expected {schema.dimension} found {found}", field="query_embedding"
        )
    try:
        check_vector(vector, dimension=schema.dimension, metric=schema.metric, field="query_embedding")
    except InvalidArgument as fault:
        if found == schema.dimension and np.isfinite(vector).all():
            raise InvalidArgument(f"Search failed: {fault}", field="query_embedding") from None
        raise
