"""Insert, BatchInsert, Delete, UpdateMetadata, BatchDelete; and what an InsertRequest asks for, wherever it is.

Most are sound in every way, so what is wrong with one is looked for only where something may be.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np
from google.protobuf.message import DecodeError

from pykyro.model.arguments import Schema, checked_namespace
from pykyro.model.distance import check_vector
from pykyro.model.errors import CallError, InvalidArgument, KyroError, ResourceExhausted
from pykyro.model.filter import check_filter, names_a_condition
from pykyro.model.limits import (
    ATOMIC_DOCUMENTS_MAX,
    DIMENSION_MAX,
    DOC_ID_MIN,
    ENTRY_BYTES,
    METADATA_ENTRIES_MAX,
    METADATA_KEY_BYTES_MAX,
)
from pykyro.model.requests import (
    Ack,
    Delete,
    DeleteMany,
    DeleteMatching,
    Operation,
    Put,
    PutMany,
    Stage,
    UpdateMetadata,
    put_many,
)
from pykyro.model.text_ids import no_text_id
from pykyro.model.types import RESERVED_KEYS, TEXT_ID_KEY, Document, Metric, Vector
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto import kyrodb_wire_pb2 as wire
from pykyro.service.access import Caller
from pykyro.service.commits import Commits, Prepare
from pykyro.service.tracing import Tracing
from pykyro.telemetry.counters import Counters
from pykyro.tenancy.quota import QuotaExceeded
from pykyro.transport.grpc import decode
from pykyro.transport.grpc.addressed import collection_of
from pykyro.transport.grpc.decode_filter import decode_filter
from pykyro.transport.grpc.decode_options import change_terms, insert_terms, key_alone

_VALUE_TAG: Final = b"\x12"
"""Before the value of each entry of a map."""


class Writes:
    """The unary RPCs that change something. Each acknowledges what is as durable as the policy promises."""

    def __init__(
        self, commits: Commits, schema: Schema, counters: Counters, tracing: Tracing | None = None
    ) -> None:
        self._commits = commits
        self._schema = schema
        self._tracing = tracing
        self._counters = counters

    async def insert(self, payload: bytes, caller: Caller) -> bytes:
        self._counters.calls_in_flight += 1
        failed = 1
        try:
            put = partial(decode_inserts, (payload,), self._schema, caller)
            ack = await self._commit(put, payload, caller, "Insert failed")
            failed = 0
            caller.usage.inserts += not ack.existed
        finally:
            self._counters.calls_in_flight -= 1
            self._counters.inserts(1, failed)
        # A new document is in the hot tier until the tier is sealed.
        return pb.InsertResponse(
            success=True,
            inserted_at=int(time.time()),
            tier=pb.InsertResponse.HOT_TIER,
            total_inserted=1,
            position=ack.lsn,
        ).SerializeToString()

    async def batch_insert(self, payload: bytes, caller: Caller) -> bytes:
        request = decode.parse(wire.BatchInsertRequest, payload)
        count = len(request.documents)
        if not 0 < count <= ATOMIC_DOCUMENTS_MAX:
            raise InvalidArgument(
                f"documents must be 1 to {ATOMIC_DOCUMENTS_MAX} of a batch that is stored all or none, got {count}",
                field="documents",
            )
        self._counters.calls_in_flight += 1
        failed = count
        try:
            many = partial(_put_many, request, self._schema, caller)
            ack = await self._commit(many, payload, caller, "Batch insert failed")
            failed = 0
            caller.usage.inserts += count - ack.existed
        finally:
            self._counters.calls_in_flight -= 1
            self._counters.inserts(count, failed)
        return pb.InsertResponse(
            success=True,
            inserted_at=int(time.time()),
            tier=pb.InsertResponse.HOT_TIER,
            total_inserted=count,
            position=ack.lsn,
        ).SerializeToString()

    async def delete(self, payload: bytes, caller: Caller) -> bytes:
        request = decode.parse(pb.DeleteRequest, payload)
        if self._schema.text_ids or request.text_id:
            own_id = decode.own_id(request.doc_id, request.text_id, self._schema)
        elif request.doc_id < DOC_ID_MIN:
            raise InvalidArgument(f"doc_id must be >= {DOC_ID_MIN}", field="doc_id")
        else:
            own_id = request.doc_id
        scope = caller.scope(checked_namespace(request.namespace))
        terms = change_terms(request.write_options) if request.HasField("write_options") else None
        ack = await self._commit(Delete(own_id, scope, terms), payload, caller, "Delete failed")
        caller.usage.deletes += ack.existed
        return pb.DeleteResponse(success=True, existed=ack.existed > 0, position=ack.lsn).SerializeToString()

    async def update_metadata(self, payload: bytes, caller: Caller) -> bytes:
        request = decode.parse(pb.UpdateMetadataRequest, payload)
        metadata: Mapping[str, str] = request.metadata
        if request.types:
            metadata = decode.typed_metadata(metadata, request.types)
        update = UpdateMetadata(
            doc_id=decode.own_id(request.doc_id, request.text_id, self._schema),
            metadata=decode.client_metadata(metadata, bytes_max=len(payload)),
            merge=request.merge,
            scope=caller.scope(checked_namespace(request.namespace)),
            expiry=decode.expiry_of(request.expiry) if request.HasField("expiry") else None,
            terms=change_terms(request.write_options) if request.HasField("write_options") else None,
        )
        ack = await self._query(update, payload, caller, "Metadata update failed")
        return pb.UpdateMetadataResponse(
            success=True, existed=ack.existed > 0, position=ack.lsn
        ).SerializeToString()

    async def batch_delete(self, payload: bytes, caller: Caller) -> bytes:
        request = decode.parse(pb.BatchDeleteRequest, payload)
        ack = await self._query(_batch(request, self._schema, caller), payload, caller, "Batch delete failed")
        caller.usage.deletes += ack.existed
        return pb.BatchDeleteResponse(
            success=True, deleted_count=ack.existed, position=ack.lsn
        ).SerializeToString()

    async def _query(self, operation: Operation, payload: bytes, caller: Caller, doing: str) -> Ack:
        """Commit a write that counts as a query too."""
        started_ns = time.perf_counter_ns()
        try:
            ack = await self._commit(operation, payload, caller, doing)
        except CallError as error:
            if not _asked_too_much(error.cause):
                self._counters.query_failed()
            raise
        self._counters.query(time.perf_counter_ns() - started_ns, alone=False)
        return ack

    async def _commit(
        self, operation: Operation | Prepare, payload: bytes, caller: Caller, doing: str
    ) -> Ack:
        start_us = 0 if self._tracing is None else time.time_ns() // 1000
        try:
            operations = operation if callable(operation) else (operation,)
            (outcome,) = await self._commits.submit(
                operations, weight=request_bytes(payload), share=caller.share
            )
        except KyroError as error:
            raise CallError(doing, error) from error
        finally:
            if self._tracing is not None:
                self._tracing.note([Stage("group commit", start_us, time.time_ns() // 1000)])
        if isinstance(outcome, (InvalidArgument, QuotaExceeded)):
            raise outcome
        if isinstance(outcome, KyroError):
            raise CallError(doing, outcome) from outcome
        return outcome


def _asked_too_much(cause: KyroError) -> bool:
    """Whether the call was refused for its own size, which no later try would change."""
    return isinstance(cause, ResourceExhausted) and cause.retry_after_s is None


def _batch(request: pb.BatchDeleteRequest, schema: Schema, caller: Caller) -> Operation:
    scope = caller.scope(checked_namespace(request.namespace))
    terms = key_alone(request.write_options) if request.HasField("write_options") else None
    match request.WhichOneof("delete_criteria"):
        case "ids":
            own_ids = decode.own_ids(request.ids.doc_ids, request.ids.text_ids, schema)
            return DeleteMany(own_ids, scope, terms)
        case "filter":
            condition = decode_filter(request.filter)
            check_filter(condition)
            if not names_a_condition(condition):
                raise InvalidArgument(
                    "filter names no condition, so it would delete every document in scope or none; "
                    "name at least one exact, range or in_match",
                    field="filter",
                )
            return DeleteMatching(condition, scope, terms)
        case _:
            raise InvalidArgument("No delete criteria provided", field="delete_criteria")


def request_bytes(payload: bytes) -> int:
    """About what the document or the changes of a request take in memory while they are stored; known before it is
    decoded: every byte that may begin the value of an entry counts as one, though some are of vectors and texts."""
    return len(payload) + ENTRY_BYTES * payload.count(_VALUE_TAG)


def decode_inserts(
    payloads: Sequence[bytes], schema: Schema, caller: Caller
) -> Sequence[Put | InvalidArgument]:
    """`decode_insert` for each payload, the error of a refused one in its place."""
    decoded: list[Put | InvalidArgument] = []
    for payload in payloads:
        try:
            decoded.append(decode_insert(payload, schema, caller))
        except InvalidArgument as fault:
            decoded.append(fault)
    return decoded


def decode_insert(payload: bytes, schema: Schema, caller: Caller) -> Put:
    """The document an InsertRequest asks to store, with the metadata entries the database itself adds, and what its
    caller may have. Raises InvalidArgument, whose message names the field, the value and the bound."""
    try:
        request = wire.InsertRequest.FromString(payload)
    except DecodeError:
        request = decode.parse(wire.InsertRequest, payload)
    doc_id, text_id = request.doc_id, ""
    if schema.text_ids:
        text_id = str(decode.own_id(doc_id, request.text_id, schema))
    elif request.text_id:
        raise no_text_id(request.text_id, "doc_id")
    elif doc_id < DOC_ID_MIN:
        raise InvalidArgument(f"doc_id must be >= {DOC_ID_MIN}", field="doc_id")
    embedding = request.embedding
    # Whether it came whole: see decode.came_whole.
    request.DiscardUnknownFields()
    if request.ByteSize() == len(payload) and len(embedding) == 4 * schema.dimension:
        vector: Vector = np.frombuffer(embedding, np.float32)
    else:
        vector = np.array(decode.parse(pb.InsertRequest, payload).embedding, np.float32)
    # vdot warns of no overflow. A sum of squares that is finite, and not zero, proves all that check_vector looks at.
    squares = float(np.vdot(vector, vector)) if len(vector) == schema.dimension else math.inf
    if not (squares < math.inf and (squares > 0.0 or schema.metric is not Metric.COSINE)):
        _check_inserted(vector, schema)
    metadata = dict(request.metadata)
    if request.types:
        metadata = decode.typed_metadata(metadata, request.types)
    if (
        len(metadata) > METADATA_ENTRIES_MAX
        or len(payload) - vector.nbytes > METADATA_KEY_BYTES_MAX
        or not RESERVED_KEYS.isdisjoint(metadata)
    ):
        metadata = decode.client_metadata(metadata, bytes_max=len(payload) - vector.nbytes)
    if caller.tenant is not None or request.namespace:
        metadata.update(caller.reserved_entries(checked_namespace(request.namespace)))
    if text_id:
        metadata[TEXT_ID_KEY] = text_id
    expiry = decode.expiry_of(request.expiry) if request.HasField("expiry") else None
    terms = insert_terms(request.write_options) if request.HasField("write_options") else None
    return Put(Document(doc_id, vector, metadata, caller.tenant), caller.limit, expiry, terms)


def _put_many(
    request: wire.BatchInsertRequest, schema: Schema, caller: Caller
) -> Sequence[PutMany | InvalidArgument]:
    """The one operation that a BatchInsertRequest asks for, or why it is refused: one bad document refuses all."""
    try:
        terms = key_alone(request.write_options) if request.HasField("write_options") else None
        puts = []
        for position, payload in enumerate(request.documents):
            try:
                if named := collection_of(payload):
                    raise InvalidArgument(
                        f"collection must be empty, got {named[:200]!r}: the request names one for all documents",
                        field="collection",
                    )
                puts.append(decode_insert(payload, schema, caller))
            except InvalidArgument as fault:
                raise InvalidArgument(f"documents[{position}]: {fault}", field=fault.field) from fault
        return [put_many(puts, terms)]
    except InvalidArgument as fault:
        return [fault]


def insert_fault(payload: bytes, fault: InvalidArgument) -> str:
    """What a stream of inserts reports for a document that `decode_insert` refused."""
    try:
        request = pb.InsertRequest.FromString(payload)
    except DecodeError:
        return str(fault)
    if request.doc_id < DOC_ID_MIN and not request.text_id and fault.field == "doc_id":
        return f"Invalid doc_id: {request.doc_id}"
    if not request.embedding:
        return f"Empty embedding for doc_id {request.doc_id}"
    if len(request.embedding) > DIMENSION_MAX:
        return f"Embedding dimension {len(request.embedding)} exceeds maximum {DIMENSION_MAX}"
    return str(fault)


def _check_inserted(vector: Vector, schema: Schema) -> None:
    try:
        check_vector(vector, dimension=schema.dimension, metric=schema.metric, field="embedding")
    except InvalidArgument as fault:
        # What only this database refuses, its engine used to: clients know it by these words.
        if 0 < vector.shape[0] <= DIMENSION_MAX and np.isfinite(vector).all():
            raise InvalidArgument(f"Insert failed: {fault}", field="embedding") from None
        raise
