"""From request bytes to values that cannot be wrong.

Everything here raises InvalidArgument, whose message names the field, the value and the bound.
"""

from __future__ import annotations

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
    METADATA_KEY_BYTES_MAX,
    STREAM_MESSAGES_MAX,
)
from pykyro.model.metadata_bounds import check_metadata_entries, check_metadata_size
from pykyro.model.types import RESERVED_KEYS, Document, Metric, Vector
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto import kyrodb_wire_pb2 as wire
from pykyro.service.access import Caller

Request = TypeVar("Request", bound=Message)
_Made = TypeVar("_Made")
_Given = ParamSpec("_Given")

CHECKED_TOGETHER_FROM: Final = 8
"""Vectors from which on a check of all at once takes less time than one of each."""


def parse(kind: type[Request], payload: bytes) -> Request:
    """The message of this kind that `payload` spells."""
    try:
        return kind.FromString(payload)
    except DecodeError:
        raise InvalidArgument(
            f"the {len(payload)} bytes of the request are no valid {kind.DESCRIPTOR.name}"
        ) from None


def document(payload: bytes, schema: Schema, caller: Caller) -> Document:
    """The document an InsertRequest asks to store, with the metadata entries the database itself adds."""
    (answer,) = documents((payload,), schema, caller)
    if isinstance(answer, InvalidArgument):
        raise answer
    return answer


def documents(payloads: Sequence[bytes], schema: Schema, caller: Caller) -> list[Document | InvalidArgument]:
    """`document` for each payload, the error of a refused one in its place.

    Vectors are checked all at once: one by one, a batch would take up to a fifth longer.
    """
    parsed = [or_fault(_parsed_insert, payload, schema) for payload in payloads]
    return [
        one if isinstance(one, InvalidArgument) else or_fault(_document, *one, len(payload), caller)
        for payload, one in zip(payloads, checked(parsed, schema, _check_inserted))
    ]


def insert_fault(payload: bytes, fault: InvalidArgument) -> str:
    """What a stream of inserts reports for a document that `document` refused."""
    try:
        request = pb.InsertRequest.FromString(payload)
    except DecodeError:
        return str(fault)
    if request.doc_id < DOC_ID_MIN:
        return f"Invalid doc_id: {request.doc_id}"
    if not request.embedding:
        return f"Empty embedding for doc_id {request.doc_id}"
    if len(request.embedding) > DIMENSION_MAX:
        return f"Embedding dimension {len(request.embedding)} exceeds maximum {DIMENSION_MAX}"
    return str(fault)


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


def _parsed_insert(payload: bytes, schema: Schema) -> tuple[wire.InsertRequest, Vector]:
    request = parse(wire.InsertRequest, payload)
    if request.doc_id < DOC_ID_MIN:
        raise InvalidArgument(f"doc_id must be >= {DOC_ID_MIN}", field="doc_id")
    if came_whole(request, payload) and len(request.embedding) == 4 * schema.dimension:
        return request, np.frombuffer(request.embedding, np.float32)
    return request, np.array(parse(pb.InsertRequest, payload).embedding, np.float32)


def _document(request: wire.InsertRequest, vector: Vector, payload_bytes: int, caller: Caller) -> Document:
    metadata = client_metadata(request.metadata, bytes_max=payload_bytes - vector.nbytes)
    metadata.update(caller.reserved_entries(checked_namespace(request.namespace)))
    return Document(request.doc_id, vector, metadata, caller.tenant)


def or_fault(
    made: Callable[_Given, _Made], *given: _Given.args, **named: _Given.kwargs
) -> _Made | InvalidArgument:
    """What is made of what is given, or why it is refused."""
    try:
        return made(*given, **named)
    except InvalidArgument as fault:
        return fault


def checked(
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
            fault = or_fault(check, one[1], schema)
            yield one if fault is None else fault


def _plainly_sound(vectors: Sequence[Vector], schema: Schema) -> list[bool]:
    """For which vectors `check_vector` need not be asked; it decides about those near a bound, and sooner about a
    few."""
    if len(vectors) < CHECKED_TOGETHER_FROM or any(vector.shape[0] != schema.dimension for vector in vectors):
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


def _check_inserted(vector: Vector, schema: Schema) -> None:
    try:
        check_vector(vector, dimension=schema.dimension, metric=schema.metric, field="embedding")
    except InvalidArgument as fault:
        # What only this database refuses, its engine used to: clients know it by these words.
        if 0 < vector.shape[0] <= DIMENSION_MAX and np.isfinite(vector).all():
            raise InvalidArgument(f"Insert failed: {fault}", field="embedding") from None
        raise
