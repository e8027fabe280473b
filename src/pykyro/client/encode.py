"""From checked arguments to request bytes.

The messages of kyrodb_wire.proto declare a vector as `bytes`, whose wire form is that of a packed `repeated float`:
so a request is written without making a Python object of each component.
"""

from __future__ import annotations

from typing import assert_never

from pykyro.model.filter import And, Anything, Exact, Filter, In, Not, Or, Range
from pykyro.model.requests import SearchRequest
from pykyro.model.types import Document, Vector
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto import kyrodb_wire_pb2 as wire


def insert_request(document: Document, namespace: str) -> bytes:
    """The bytes of an InsertRequest."""
    return wire.InsertRequest(
        doc_id=document.doc_id,
        embedding=_floats(document.vector),
        metadata=document.metadata,
        namespace=namespace,
    ).SerializeToString()


def search_request(request: SearchRequest, filter: pb.MetadataFilter | None) -> bytes:
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
    ).SerializeToString()


def filter_message(condition: Filter) -> pb.MetadataFilter:
    """The message that spells `condition`."""
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
            return pb.MetadataFilter(and_filter=pb.AndFilter(filters=map(filter_message, parts)))
        case Or(parts):
            return pb.MetadataFilter(or_filter=pb.OrFilter(filters=map(filter_message, parts)))
        case Not(part):
            inner = None if part is None else filter_message(part)
            return pb.MetadataFilter(not_filter=pb.NotFilter(filter=inner))
        case _:
            assert_never(condition)


def _floats(vector: Vector) -> bytes:
    """The components as the wire has them, little-endian."""
    return vector.astype("<f4", copy=False).tobytes()
