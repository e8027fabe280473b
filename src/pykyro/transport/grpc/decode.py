"""From request bytes to values that cannot be wrong.

Everything here raises InvalidArgument, whose message names the field, the value and the bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, ParamSpec, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message

from pykyro.model.arguments import Schema, checked_namespace
from pykyro.model.distance import check_vector
from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import (
    DIMENSION_MAX,
    DOC_ID_MIN,
    EF_SEARCH_MAX,
    K_MAX,
    METADATA_KEY_BYTES_MAX,
    STREAM_MESSAGES_MAX,
)
from pykyro.model.metadata_bounds import check_metadata_entries, check_metadata_size
from pykyro.model.requests import SearchRequest
from pykyro.model.types import RESERVED_KEYS, Metric, Vector
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto import kyrodb_wire_pb2 as wire
from pykyro.service.access import Caller
from pykyro.transport.grpc.decode_filter import search_filter

Request = TypeVar("Request", bound=Message)
_Made = TypeVar("_Made")
_Given = ParamSpec("_Given")

_CHECKED_TOGETHER_FROM: Final = 8
"""Vectors from which on a check of all at once takes less time than one of each."""


def parse(kind: type[Request], payload: bytes) -> Request:
    """The message of this kind that `payload` spells."""
    try:
        return kind.FromString(payload)
    except DecodeError:
        raise InvalidArgument(
            f"the {len(payload)} bytes of the request are no valid {kind.DESCRIPTOR.name}"
        ) from None


def search(payload: bytes, schema: Schema, caller: Caller) -> SearchRequest:
    """The search a SearchRequest asks for."""
    request, vector = _parsed_search(payload, schema)
    _check_vector_asked(vector, schema)
    return _asked(request, vector, caller)


def searches(
    payloads: Sequence[tuple[bytes, Caller]], schema: Schema
) -> list[SearchRequest | InvalidArgument]:
    """`search` for each payload, the error of a refused one in its place; vectors are checked all at once."""
    parsed = [_or_fault(_parsed_search, payload, schema) for payload, _ in payloads]
    return [
        one if isinstance(one, InvalidArgument) else _or_fault(_asked, *one, caller)
        for (_, caller), one in zip(payloads, _checked(parsed, schema, _check_vector_asked))
    ]


def _parsed_search(payload: bytes, schema: Schema) -> tuple[wire.SearchRequest, Vector]:
    request = parse(wire.SearchRequest, payload)
    if came_whole(request, payload) and len(request.query_embedding) == 4 * schema.dimension:
        return request, np.frombuffer(request.query_embedding, np.float32)
    return request, np.array(parse(pb.SearchRequest, payload).query_embedding, np.float32)


def _asked(request: wire.SearchRequest, vector: Vector, caller: Caller) -> SearchRequest:
    _check_asked(request)
    filter_message = request.filter if request.HasField("filter") else None
    return SearchRequest(
        vector=vector,
        k=request.k,
        ef_search=request.ef_search,
        filter=search_filter(filter_message, request.metadata_filters),
        scope=caller.scope(checked_namespace(request.namespace)),
        min_score=request.min_score,
        exact=request.exact,
        include_vectors=request.include_embeddings,
        include_metadata=not request.exclude_metadata,
    )


def wants_inline_errors(payload: bytes) -> bool:
    """Whether a SearchRequest that failed asked for its failure as an answer."""
    try:
        return wire.SearchRequest.FromString(payload).inline_errors
    except DecodeError:
        return False


def client_metadata(entries: Mapping[str, str], *, bytes_max: int) -> dict[str, str]:
    """A client's metadata without reserved keys. `bytes_max` is known to be at least its size in UTF-8."""
    metadata = {key: value for key, value in entries.items() if key not in RESERVED_KEYS}
    check_metadata_entries(metadata)
    # So small a request cannot break a bound, and most are that small.
    if bytes_max > METADATA_KEY_BYTES_MAX:
        check_metadata_size(metadata)
    return metadata


def checked_doc_id(doc_id: int) -> int:
    """`doc_id` itself, when it is not 0."""
    if doc_id < DOC_ID_MIN:
        raise InvalidArgument("doc_id must be non-zero", field="doc_id")
    return doc_id


def check_batch(size: int) -> None:
    """Refuse more ids in one request than a stream may have messages."""
    if size > STREAM_MESSAGES_MAX:
        raise InvalidArgument(f"Batch size {size} exceeds maximum {STREAM_MESSAGES_MAX}", field="doc_ids")


def _or_fault(
    made: Callable[_Given, _Made], *given: _Given.args, **named: _Given.kwargs
) -> _Made | InvalidArgument:
    """What is made of what is given, or why it is refused."""
    try:
        return made(*given, **named)
    except InvalidArgument as fault:
        return fault


def _checked(
    parsed: Sequence[tuple[Request, Vector] | InvalidArgument],
    schema: Schema,
    check: Callable[[Vector, Schema], None],
) -> Iterator[tuple[Request, Vector] | InvalidArgument]:
    """What was parsed, the error in place of each whose vector `check` refuses; all are checked at once."""
    sound = iter(_plainly_sound([one[1] for one in parsed if not isinstance(one, InvalidArgument)], schema))
    for one in parsed:
        if isinstance(one, InvalidArgument) or next(sound):
            yield one
        else:
            fault = _or_fault(check, one[1], schema)
            yield one if fault is None else fault


def _plainly_sound(vectors: Sequence[Vector], schema: Schema) -> list[bool]:
    """For which vectors `check_vector` need not be asked; it decides about those near a bound, and sooner about a
    few."""
    if len(vectors) < _CHECKED_TOGETHER_FROM or any(
        vector.shape[0] != schema.dimension for vector in vectors
    ):
        return [False] * len(vectors)
    rows = np.array(vectors, np.float32).reshape(len(vectors), schema.dimension)
    with np.errstate(over="ignore", invalid="ignore"):
        norms_squared = np.einsum("ij,ij->i", rows, rows)
    least = 0.0 if schema.metric is Metric.COSINE else -1.0
    sound: list[bool] = (np.isfinite(norms_squared) & (norms_squared > least)).tolist()
    return sound


def came_whole(request: Message, payload: bytes) -> bool:
    """Whether the vector of a server-side message can be relied on.

    A sender may split a packed field, of which `bytes` keeps the last piece, or not pack it, which is an unknown
    field here. Either leaves bytes over (as do harmless things, such as a default spelt out).
    """
    request.DiscardUnknownFields()
    return request.ByteSize() == len(payload)


def _check_vector_asked(vector: Vector, schema: Schema) -> None:
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


def _check_asked(request: wire.SearchRequest) -> None:
    if request.k == 0:
        raise InvalidArgument("k must be greater than 0", field="k")
    if request.k > K_MAX:
        raise InvalidArgument(f"k must be <= {K_MAX}, got {request.k}", field="k")
    if request.ef_search > EF_SEARCH_MAX:
        raise InvalidArgument(
            f"ef_search must be <= {EF_SEARCH_MAX}, got {request.ef_search}", field="ef_search"
        )
    if math.isnan(request.min_score):
        raise InvalidArgument("min_score must be a number, got NaN", field="min_score")
