"""From checked arguments to request bytes.

The messages of kyrodb_wire.proto declare a vector as `bytes`, whose wire form is that of a packed `repeated float`:
so a request is written without making a Python object of each component.
"""

from __future__ import annotations

from collections.abc import Sequence

from pykyro.model.conditions import Terms
from pykyro.model.expiry import Expiry
from pykyro.model.freshness import Freshness
from pykyro.model.requests import SearchRequest
from pykyro.model.typed_text import tags_of
from pykyro.model.types import TEXT_ID_KEY, AnyId, Document, Vector
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto import kyrodb_wire_pb2 as wire
from pykyro.proto.word_messages import leg_fields


def insert_request(
    document: Document, namespace: str, expiry: Expiry | None = None, options: pb.WriteOptions | None = None
) -> bytes:
    """The bytes of an InsertRequest."""
    metadata, text_id = document.metadata, document.metadata.get(TEXT_ID_KEY, "")
    if text_id:
        metadata = {key: value for key, value in metadata.items() if key != TEXT_ID_KEY}
    return wire.InsertRequest(
        doc_id=document.doc_id,
        text_id=text_id,
        embedding=_floats(document.vector),
        metadata=metadata,
        namespace=namespace,
        types=tags_of(metadata),
        expiry=expiry_message(expiry),
        write_options=options,
    ).SerializeToString()


def expiry_message(expiry: Expiry | None) -> pb.Expiry | None:
    """The message that says so; None says nothing."""
    if expiry is None:
        return None
    if expiry.at_us:
        return pb.Expiry(expires_at=expiry.at_us)
    return pb.Expiry(ttl=expiry.ttl_us) if expiry.ttl_us else pb.Expiry()


def named(own_id: AnyId) -> tuple[int, str]:
    """The fields doc_id and text_id of a request for the document with this id."""
    return (0, own_id) if isinstance(own_id, str) else (own_id, "")


def named_each(own_ids: Sequence[AnyId]) -> tuple[list[int], list[str]]:
    """The fields doc_ids and text_ids of a request for the documents with these ids, which are of one type."""
    return (
        [own_id for own_id in own_ids if isinstance(own_id, int)],
        [own_id for own_id in own_ids if isinstance(own_id, str)],
    )


def batch_insert_request(documents: Sequence[bytes], terms: Terms | None) -> bytes:
    """The bytes of a BatchInsertRequest around InsertRequests that are bytes already."""
    options = None if terms is None else pb.WriteOptions(idempotency_key=terms.idempotency_key.decode())
    return wire.BatchInsertRequest(documents=documents, write_options=options).SerializeToString()


def read_options(fresh: Freshness | None) -> pb.ReadOptions | None:
    """The message that says how fresh a read is to be."""
    if fresh is None:
        return None
    return pb.ReadOptions(min_position=fresh.min_position, max_wait_ms=round(1000 * fresh.max_wait_s))


def search_request(
    request: SearchRequest, filter: pb.MetadataFilter | None, fresh: Freshness | None = None
) -> bytes:
    """The bytes of a SearchRequest with this filter message, which stands for `request.filter`."""
    return wire.SearchRequest(
        query_embedding=_floats(request.vector),
        k=request.k,
        min_score=request.min_score,
        namespace=request.scope.namespace,
        include_embeddings=request.include_vectors,
        filter=filter,
        ef_search=request.ef_search,
        exact=request.exact,
        exclude_metadata=not request.include_metadata,
        include_positions=request.include_positions,
        read_options=read_options(fresh),
        **leg_fields(request.legs),
    ).SerializeToString()


def _floats(vector: Vector) -> bytes:
    """The components as the wire has them, little-endian."""
    return vector.astype("<f4", copy=False).tobytes()
