"""From documents to the bytes of a QueryResponse, written straight in protobuf's wire form as in search_codec.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pykyro.model.metadata_wire import text_id_field, varint
from pykyro.model.requests import Found, Tier
from pykyro.model.types import AnyId
from pykyro.proto import kyrodb_pb2 as pb

# A tag is field number << 3 | wire type; wire type 0 is a varint, 2 has a length.
_FOUND, _QUERY_DOC_ID, _QUERY_EMBEDDING, _SERVED_FROM = b"\x08\x01", b"\x10", b"\x1a", b"\x28"
_POSITION: Final = varint(130 << 3)
_BULK_RESULT, _BULK_FOUND, _BULK_REQUESTED = b"\x0a", b"\x10", b"\x18"

SERVED_FROM: Final[dict[Tier, pb.QueryResponse.ServedFrom]] = {
    Tier.CACHE: pb.QueryResponse.CACHE,
    Tier.HOT: pb.QueryResponse.HOT_TIER,
    Tier.COLD: pb.QueryResponse.COLD_TIER,
}


def query_response(doc_id: AnyId, found: Found | None, *, include_embedding: bool) -> bytes:
    """The bytes of a QueryResponse; `doc_id` is the id that was asked for. A text id of a document that was found is
    in its metadata already."""
    if isinstance(doc_id, str):
        if found is None:
            return text_id_field(doc_id)
        out = [_FOUND]
    else:
        if found is None:
            return _QUERY_DOC_ID + varint(doc_id)
        out = [_FOUND, _QUERY_DOC_ID + varint(doc_id)]
    if include_embedding:
        out += (_QUERY_EMBEDDING, varint(found.vector.nbytes), found.vector.tobytes())
    out += (found.metadata_wire, _SERVED_FROM + varint(SERVED_FROM[found.tier]))
    if found.position:
        out.append(_POSITION + varint(found.position))
    return b"".join(out)


def bulk_query_response(results: Sequence[bytes], total_found: int) -> bytes:
    """The bytes of a BulkQueryResponse around QueryResponses that are bytes already."""
    out: list[bytes] = []
    for result in results:
        out += (_BULK_RESULT, varint(len(result)), result)
    out += (_BULK_FOUND + varint(total_found), _BULK_REQUESTED + varint(len(results)))
    return b"".join(out)
